"""Schemas of requests about trainings and of their answers."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api.domain.access.principal import ME, current_principal
from api.domain.machines.hold import Hold
from api.domain.machines.reading import MAX_GPUS, MAX_MEMORY_MB
from api.domain.samples.sample_set import RequestedSamples
from api.domain.tasks.cause import CauseCode
from api.domain.tasks.cluster_options import ClusterOptions
from api.domain.tasks.labels import SEARCHED
from api.domain.tasks.sweep import SWEEP_ID
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import (
    NOTICES,
    GPURequest,
    TaskEvent,
    TaskFilter,
    TaskNotice,
    TaskOrder,
    TaskStatus,
    TrainingRequest,
)
from api.training.comparison.service import LEAST_TRAININGS, MOST_TRAININGS, MOST_VALUES
from api.training.comparison.views import ComparisonAxis
from api.training.label_schemas import PatchLabels, ResumeLabels, StartLabels, without_default
from api.training.output.export_order import ExportMethod
from api.training.sample_requests import SamplesAfterModels
from api.training.views import (
    Artifact,
    TaskRow,
    XAxis,
)
from api.util.http.pagination import Pagination
from api.util.http.validation import NO_NUL, Strict
from api.util.text.masking import mask_secrets
from api.web.schemas import (
    Change,
    GPUIndex,
    GPUReference,
    PageQuery,
    Shown,
    Tag,
    at_most_one,
    whole,
)

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
            raise PydanticCustomError(
                "value_gpus_twice",
                "give one of gpu_id, gpu_ids and gpu_count, not {given}",
                {"given": " and ".join(given)},
            )
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


_EXAMPLE: dict[str, Any] = {"model_type": "toy", "gpu_count": 1, "config": {"epochs": 3}}

#: Alternatives of a start request: ways to select GPUs, and the trainer's files as text or as JSON.
_RULES: list[JsonValue] = [
    ONE_WAY_TO_GPUS,
    at_most_one("config", "config_toml"),
    at_most_one("dataset", "dataset_toml"),
]

#: Metrics of one comparison.
_MOST_METRICS = 8

QueuePosition = Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(whole)]
RetriedCause = Annotated[CauseCode, Field(strict=False)]
SweepId = Annotated[str, Field(pattern=SWEEP_ID)]
Step = Annotated[int, Field(ge=0, le=2**53)]


class TrainerFiles(GPUSelection):
    """The configuration of the trainer: its own files as text, or as JSON."""

    config_toml: str | None = Field(None, description="the trainer's configuration, as text, instead of config")
    dataset_toml: str | None = Field(None, description="the dataset's configuration, as text, instead of dataset")
    config: dict[str, Any] | None = Field(None, description="the configuration as JSON")
    dataset: dict[str, Any] | None = Field(None, description="the dataset as JSON")
    env: dict[str, str] | None = Field(None, max_length=64, description="environment variables (allow-listed)")


class StartTraining(StartLabels, TrainerFiles):
    """A request to start a training."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": _EXAMPLE, "allOf": _RULES})

    model_type: str = Field(
        min_length=1, max_length=64, description="the model type to train: flux, wan, sdxl, … or toy"
    )
    queue: bool = Field(True, description="false: 409 `gpu_busy` unless the GPUs are free now")
    max_retries: Annotated[int, Field(ge=0, le=100), BeforeValidator(whole)] = Field(
        0, description="retries after a failure, from the last complete checkpoint"
    )
    retry_on: list[RetriedCause] | None = Field(None, description="the causes of failure that are retried")
    stop_on_hang: bool = Field(False, description="stop the training if it seems to hang, instead of only warning")
    keep_last_checkpoints: Annotated[int, Field(ge=1, le=10_000), BeforeValidator(whole)] | None = Field(
        None, description="older complete checkpoints are deleted; by default all stay"
    )
    regenerate_cache: bool = Field(False, description="rebuild the dataset's cache")
    trust_cache: bool = Field(False, description="use the dataset's cache without checking it")
    notify: Notify | None = Field(None, description="notifications about this training")
    slurm: SlurmOptions | None = Field(None, description="options for the cluster, with EXECUTOR=slurm")
    samples: SamplesAfterModels | None = Field(None, description="samples to render after saved models; null: none")

    def request(self) -> TrainingRequest:
        """Return the request for the services."""
        return TrainingRequest(
            model_type=self.model_type,
            gpus=self.gpus(),
            config=self.config or {},
            dataset=self.dataset or {},
            env=self.env or {},
            notify=None if self.notify is None else self.notify.notice(),
            slurm=None if self.slurm is None else self.slurm.options(),
            samples=None if self.samples is None else self.samples.requested(),
            retry_on=None if self.retry_on is None else tuple(self.retry_on),
            **self.given_labels(),
            **self.model_dump(include=_PLAIN),
        )


#: Fields of a start request that are no labels and that the service uses as they are given.
_PLAIN = {
    "queue", "config_toml", "dataset_toml", "max_retries", "stop_on_hang", "keep_last_checkpoints",
    "regenerate_cache", "trust_cache",
}  # fmt: skip


class StopTraining(Strict):
    """How to stop a training."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"force": False}})

    force: bool = Field(False, description="do not wait for a checkpoint")
    timeout_seconds: float | None = Field(
        None, ge=0, le=86_400, description="how long the checkpoint may take before it is terminated"
    )
    keep_lora: bool = Field(False, description="make a LoRA of the last checkpoint when it has ended")


class ExportCheckpoint(Strict):
    """The checkpoint of which a LoRA is made."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"checkpoint": "global_step30"}})

    checkpoint: str | None = Field(
        None, min_length=1, max_length=100, pattern=r"^[^\x00]*$", description="its name; null: the last complete one"
    )
    method: Literal["direct", "resume"] | None = Field(
        None,
        description="direct: of the checkpoint's files, without a GPU; resume: by the trainer, which makes one more"
        " step and saves a model; null: direct if that is possible",
    )

    @property
    def chosen_method(self) -> ExportMethod | None:
        """The method, or None for the default."""
        return None if self.method is None else ExportMethod(self.method)


class StopQuery(Strict):
    """Query parameters of a stop."""

    wait: float = Field(0, ge=0, le=60, description="maximum seconds to wait for the end of the training")


class ResumeTraining(ResumeLabels, TrainerFiles):
    """How to resume.

    Given values replace those of the task. `config` and `dataset` are merged into the task's own; `config` also into a
    TOML text.
    """

    model_config = ConfigDict(
        strict=True, json_schema_extra={"example": {"config": {"epochs": 6}}, "allOf": [ONE_WAY_TO_GPUS]}
    )

    env: dict[str, str | None] | None = Field(  # type: ignore[assignment]
        None, max_length=64, description="environment variables; null removes one"
    )
    checkpoint: str | None = Field(
        None,
        max_length=64,
        pattern=r"^[A-Za-z0-9_]+$",
        description="such as global_step100; default: the last complete one",
    )
    reset_dataloader: bool = Field(False, description="restart the order of the data")
    reset_optimizer: bool = Field(False, description="discard the state of optimizer and learning rate")

    def changes(self, task: TrainingRequest) -> dict[str, Any]:
        """Return the changes of the task's request."""
        changed: dict[str, Any] = {}
        for name, text in (("config", self.config_toml), ("dataset", self.dataset_toml)):
            if text is not None:
                changed |= {f"{name}_toml": text, name: {}}
        for name, given in (("config", self.config), ("dataset", self.dataset), ("env", self.env)):
            if name == "config" and given is not None and task.config_toml is not None:
                # The values are set in the task's own text, or apply in addition to the new text.
                changed[name] = given
            elif given is not None:
                changed[name] = _merge(changed.get(name, getattr(task, name)), given)
        if self.names_gpus:
            changed["gpus"] = self.gpus()
        return changed | self.given_labels()


def _merge(base: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(base) if isinstance(base, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged


class PatchTraining(Change, PatchLabels):
    """Fields of a task that can change at any time. Null removes any but priority, class and position."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"priority": 10}})

    queue_position: Literal["first", "last"] | QueuePosition = Field(
        "first",
        json_schema_extra=without_default,
        description="new position of a queued task: first or last among its user's tasks of its class and priority, or "
        "as close as possible to a `queue_position`",
    )
    samples: SamplesAfterModels | None = Field(None, description="samples to render after saved models; null ends them")

    def requested_samples(self) -> tuple[bool, RequestedSamples | None]:
        """Return whether the samples change, and the new ones."""
        return "samples" in self.model_fields_set, None if self.samples is None else self.samples.requested()

    @property
    def position(self) -> str | int | None:
        """The requested position, or None if it stays."""
        return self.queue_position if "queue_position" in self.model_fields_set else None


class ListQuery(PageQuery):
    """Query parameters that select trainings."""

    status: str | None = Field(None, max_length=100, description="one or more, separated by commas: queued,running")
    model_type: str | None = Field(None, pattern=r"^[A-Za-z0-9_.\-]{1,64}$", description="only this model type")
    gpu_id: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_:.\-]{1,80}$", description="only trainings that used this GPU, by index or UUID"
    )
    search: str | None = Field(
        None,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description=f"part of the id, {', '.join(SEARCHED[:-1])} or {SEARCHED[-1]}",
    )
    tag: Tag | None = Field(None, description="only trainings with this tag")
    owner: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@\-]{0,63}$",
        description="only trainings of this user; `me` for the current user (without keys all trainings)",
    )
    sweep: SweepId | None = Field(None, description="only trainings of this sweep")
    kind: Literal["training", "cache", "export", "rehearse", "sample"] = Field(
        "training",
        description="cache: tasks that build a dataset's cache; export: those that make LoRAs; rehearse: rehearsals;"
        " sample: those that render samples",
    )
    order: TaskOrder = Field(
        TaskOrder.NEWEST, description="queue: only queued trainings, in the order in which they will start"
    )

    @field_validator("status")
    @classmethod
    def _known_statuses(cls, text: str | None) -> str | None:
        known = [status.value for status in TaskStatus]
        unknown = [name for name in _names(text) if name not in known]
        if unknown:
            raise PydanticCustomError(
                "value_status_unknown",
                "unknown status {unknown}; use one or more of {known}",
                {"unknown": ", ".join(unknown), "known": ", ".join(known)},
            )
        return text

    def filter(self) -> TaskFilter:
        """Return the filter for the store, without the GPU, which the service resolves."""
        statuses = tuple(TaskStatus(name) for name in _names(self.status))
        owner = current_principal.get().owner if self.owner == ME else self.owner
        given = (statuses, self.model_type, None, self.search, self.tag, owner)
        return TaskFilter(*given, kind=TaskType(self.kind), sweep=self.sweep)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


class MetricsQuery(Strict):
    """Query parameters that select a series."""

    metric: str = Field(
        "loss", min_length=1, max_length=200, description="loss, grad_norm, learning_rate, epoch_loss, or a tag"
    )
    type: XAxis = Field(XAxis.STEP, description="the x-axis: steps or epochs")
    limit: int = Field(1000, ge=1, description="maximum number of values; at most 10000 are returned")
    since_step: Step | None = Field(None, description="only values from this step (or epoch) on")


class CompareQuery(Strict):
    """Query parameters of a comparison."""

    tasks: str = Field(
        pattern=rf"^[A-Za-z0-9_]{{1,64}}(,[A-Za-z0-9_]{{1,64}}){{{LEAST_TRAININGS - 1},{MOST_TRAININGS - 1}}}$",
        description="ids of two to eight trainings, separated by commas",
    )
    metric: str = Field(
        "loss",
        min_length=1,
        max_length=400,
        pattern=NO_NUL,
        description="one or more, separated by commas: loss, eval_loss (the losses of all evaluations), learning_rate,"
        " grad_norm, epoch_loss, or a tag; at most eight",
    )
    axis: ComparisonAxis = Field(
        ComparisonAxis.STEP, description="the x-axis: steps, epochs, images seen, or seconds of training"
    )
    limit: int = Field(1000, ge=1, description=f"maximum number of values of a series; at most {MOST_VALUES}")
    all_settings: bool = Field(False, description="also settings that are equal")

    @field_validator("tasks")
    @classmethod
    def _different_tasks(cls, text: str) -> str:
        if len(set(_names(text))) < len(_names(text)):
            raise PydanticCustomError("value_training_twice", "names a training twice; give each only once")
        return text

    @field_validator("metric")
    @classmethod
    def _few_metrics(cls, text: str) -> str:
        if not 1 <= len(set(_names(text))) <= _MOST_METRICS:
            raise PydanticCustomError("value_metrics_count", "must name one to {most} metrics", {"most": _MOST_METRICS})
        return text

    def task_ids(self) -> list[str]:
        """Return the ids in their order."""
        return _names(self.tasks)

    def metrics(self) -> list[str]:
        """Return the names of the metrics, each once."""
        return list(dict.fromkeys(_names(self.metric)))


class FileOrder(StrEnum):
    """The order of files in a list."""

    PATH = "path"
    NEWEST = "newest"


class ArtifactsQuery(PageQuery):
    """Query parameters that order files."""

    order: FileOrder = Field(FileOrder.PATH, description="path: numbers in numerical order; newest: newest first")


class EventOrder(StrEnum):
    """The order of events in a list."""

    OLDEST = "oldest"
    NEWEST = "newest"


class EventsQuery(PageQuery):
    """Query parameters that order events."""

    order: EventOrder = Field(EventOrder.OLDEST, description="which come first; a cursor continues in the same order")


class ArtifactQuery(Strict):
    """How to download a file."""

    raw: bool = Field(False, description="a saved model exactly as the trainer wrote it, without more metadata")


class DeleteQuery(Strict):
    """Query parameters of a deletion."""

    files: bool = Field(False, description="also delete its files: checkpoints, models, logs")


class TrainingList(Shown):
    """Trainings in the requested order."""

    tasks: list[TaskRow]
    pagination: Pagination
    queue_empty_at: datetime | None  #: when the last queued training will have ended; null if unknown or none waits


class TrainingEventList(Shown):
    """A page of events."""

    events: list[TaskEvent]
    pagination: Pagination


class ArtifactList(Shown):
    """Files of a training."""

    artifacts: list[Artifact]
    total_bytes: int  #: of all files, not only of this page
    pagination: Pagination


Why = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$"), AfterValidator(mask_secrets)]


class CreateHold(Strict):
    """The target of a hold and its reason."""

    model_config = ConfigDict(
        strict=True, json_schema_extra={"example": {"gpu_id": "0", "reason": "its fan is replaced"}}
    )

    gpu_id: GPUIndex | Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None, description="index or UUID of a GPU; null or omitted: the queue"
    )
    reason: Why


class HoldList(Shown):
    """The current holds."""

    holds: list[Hold]  #: all holds in force
