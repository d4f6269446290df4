"""Schemas of a training's options besides its trainer's files: GPUs, cluster and notifications."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from api.domain.cluster_options import ClusterOptions
from api.domain.reading import MAX_GPUS, MAX_MEMORY_MB
from api.domain.training import NOTICES, GPURequest, TaskNotice
from api.util.validation import Strict
from api.web.schemas import GPUReference, at_most_one, whole

#: GPUs are selected in one way only.
ONE_WAY_TO_GPUS = at_most_one("gpu_id", "gpu_ids", "gpu_count")

Count = Annotated[int, Field(ge=1, le=65_535), BeforeValidator(whole)]
Memory = Annotated[int, Field(ge=0, le=MAX_MEMORY_MB), BeforeValidator(whole)]


class GPUSelection(Strict):
    """The GPUs that a task requests."""

    model_config = ConfigDict(strict=True)

    gpu_id: GPUReference | None = Field(
        None, description="one GPU, by index, node:index or UUID; not with gpu_ids or gpu_count"
    )
    gpu_ids: list[GPUReference] | None = Field(
        None, min_length=1, max_length=MAX_GPUS, description="exactly these GPUs; instead of gpu_id and gpu_count"
    )
    gpu_count: Count | None = Field(
        None, description="this many GPUs of any kind, instead of gpu_id and gpu_ids; default 1"
    )
    min_memory: Memory | None = Field(None, description="required free memory of each GPU in MB")

    @model_validator(mode="after")
    def _one_way(self) -> "GPUSelection":
        given = [name for name in ("gpu_id", "gpu_ids", "gpu_count") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of gpu_id, gpu_ids and gpu_count, not {' and '.join(given)}")
        return self

    @property
    def names_gpus(self) -> bool:
        """Whether the request mentions GPUs."""
        return any(value is not None for value in (self.gpu_id, self.gpu_ids, self.gpu_count, self.min_memory))

    def gpus(self) -> GPURequest:
        """Return the selection for the scheduler."""
        named = [self.gpu_id] if self.gpu_id is not None else self.gpu_ids or []
        count = self.gpu_count or len(named) or 1
        return GPURequest(tuple(named), count, self.min_memory or 0, is_single=self.gpu_id is not None)


class Notify(Strict):
    """Notifications about a training, in addition to those by rules."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"on": ["finished"], "channels": ["mail"]}})

    on: list[Literal[NOTICES]] = Field(  # type: ignore[valid-type]
        default_factory=lambda: ["finished", "failed"],
        min_length=1,
        max_length=20,
        description="finished and failed by default",
    )
    channels: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]] = Field(
        min_length=1, max_length=20, description="names of channels: GET /alerts/channels lists them"
    )

    def notice(self) -> TaskNotice:
        """Return the notifications for the services."""
        return TaskNotice(tuple(dict.fromkeys(self.on)), tuple(dict.fromkeys(self.channels)))


SlurmName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]


class SlurmOptions(Strict):
    """Options for the cluster. Only valid if the service starts trainings through Slurm."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"partition": "gpu", "time_limit": 1440}})

    partition: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,\-]{1,256}$")] | None = Field(
        None, description="partitions where it may run, separated by commas"
    )
    constraint: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,&|*:\[\]()\-]{1,256}$")] | None = Field(
        None, description="features that its node must have, such as `h100&nvlink`"
    )
    account: SlurmName | None = Field(None, description="the account to charge")
    qos: SlurmName | None = Field(None, description="the quality of service")
    time_limit: Annotated[int, Field(ge=1, le=527_040), BeforeValidator(whole)] | None = Field(
        None, description="minutes until the cluster ends it"
    )
    cpus_per_gpu: Annotated[int, Field(ge=1, le=1024), BeforeValidator(whole)] | None = Field(
        None, description="CPU cores per GPU"
    )
    memory_per_gpu: Annotated[int, Field(ge=1, le=2**31), BeforeValidator(whole)] | None = Field(
        None, description="host memory per GPU in MB"
    )

    def options(self) -> ClusterOptions:
        """Return the options for the services."""
        given = (self.partition, self.constraint, self.account, self.qos, self.time_limit)
        return ClusterOptions(*given, self.cpus_per_gpu, self.memory_per_gpu)
