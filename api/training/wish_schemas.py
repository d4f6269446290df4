"""What a training wishes besides its trainer's files: GPUs, a cluster, and who is told of it."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from api.domain.engine import EngineWishes
from api.domain.reading import MAX_GPUS, MAX_MEMORY_MB
from api.domain.training import NOTICES, GPURequest, TaskNotice
from api.util.validation import Strict
from api.web.schemas import GPUReference, at_most_one, whole

#: GPUs are wished for in one way only.
ONE_WAY_TO_GPUS = at_most_one("gpu_id", "gpu_ids", "gpu_count")

Count = Annotated[int, Field(ge=1, le=65_535), BeforeValidator(whole)]
Memory = Annotated[int, Field(ge=0, le=MAX_MEMORY_MB), BeforeValidator(whole)]


class GPUWish(Strict):
    """Which GPUs a task wants."""

    model_config = ConfigDict(strict=True)

    gpu_id: GPUReference | None = Field(
        None, description="one GPU, by index, node:index or UUID; not with gpu_ids or gpu_count"
    )
    gpu_ids: list[GPUReference] | None = Field(
        None, min_length=1, max_length=MAX_GPUS, description="exactly these GPUs; instead of gpu_id and gpu_count"
    )
    gpu_count: Count | None = Field(
        None, description="any so many GPUs, instead of gpu_id and gpu_ids; 1 when nothing is said"
    )
    min_memory: Memory | None = Field(None, description="free memory in MB that each must have")

    @model_validator(mode="after")
    def _one_way(self) -> "GPUWish":
        given = [name for name in ("gpu_id", "gpu_ids", "gpu_count") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of gpu_id, gpu_ids and gpu_count, not {' and '.join(given)}")
        return self

    @property
    def names_gpus(self) -> bool:
        """Whether anything about GPUs was said."""
        return any(value is not None for value in (self.gpu_id, self.gpu_ids, self.gpu_count, self.min_memory))

    def gpus(self) -> GPURequest:
        """The wish as the scheduler takes it."""
        named = [self.gpu_id] if self.gpu_id is not None else self.gpu_ids or []
        count = self.gpu_count or len(named) or 1
        return GPURequest(tuple(named), count, self.min_memory or 0, is_single=self.gpu_id is not None)


class Notify(Strict):
    """Who is told of what happens to a training, besides what rules tell anyway."""

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
        """The wish as the services take it."""
        return TaskNotice(tuple(dict.fromkeys(self.on)), tuple(dict.fromkeys(self.channels)))


SlurmName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]


class SlurmWishes(Strict):
    """What a training wishes of the cluster that it runs on; only where the service starts trainings by Slurm."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"partition": "gpu", "time_limit": 1440}})

    partition: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,\-]{1,256}$")] | None = Field(
        None, description="where it may run; several by comma"
    )
    constraint: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,&|*:\[\]()\-]{1,256}$")] | None = Field(
        None, description="features that its machine must have, as `h100&nvlink`"
    )
    account: SlurmName | None = Field(None, description="the account that it is charged to")
    qos: SlurmName | None = Field(None, description="the quality of service")
    time_limit: Annotated[int, Field(ge=1, le=527_040), BeforeValidator(whole)] | None = Field(
        None, description="minutes after which the cluster ends it"
    )
    cpus_per_gpu: Annotated[int, Field(ge=1, le=1024), BeforeValidator(whole)] | None = Field(
        None, description="cores for each GPU"
    )
    memory_per_gpu: Annotated[int, Field(ge=1, le=2**31), BeforeValidator(whole)] | None = Field(
        None, description="MB of the machine's memory for each GPU"
    )

    def wishes(self) -> EngineWishes:
        """The wishes as the services take them."""
        given = (self.partition, self.constraint, self.account, self.qos, self.time_limit)
        return EngineWishes(*given, self.cpus_per_gpu, self.memory_per_gpu)
