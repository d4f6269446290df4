"""Schemas of requests about trainings and of their answers."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue, field_validator

from api.domain.access import ME, current_principal
from api.domain.cause import CauseCode
from api.domain.task import TaskType
from api.domain.training import (
    TaskEvent,
    TaskFilter,
    TaskOrder,
    TaskStatus,
    TrainingRequest,
)
from api.training.placement_schemas import ONE_WAY_TO_GPUS, GPUSelection, Notify, SlurmOptions
from api.training.views import (
    Artifact,
    CheckpointList,
    Deleted,
    SeriesView,
    StoppedTask,
    TaskDetails,
    TaskProgressView,
    TaskRow,
    Validation,
    XAxis,
)
from api.util.masking import mask_secrets
from api.util.pagination import Pagination
from api.util.validation import Strict
from api.web.schemas import Change, Envelope, Name, PageQuery, Shown, at_most_one, whole

_EXAMPLE: dict[str, Any] = {"model_type": "toy", "gpu_count": 1, "config": {"epochs": 3}}

#: Alternatives of a start request: ways to select GPUs, and the trainer's files as text or as JSON.
_RULES: list[JsonValue] = [
    ONE_WAY_TO_GPUS,
    at_most_one("config", "config_toml"),
    at_most_one("dataset", "dataset_toml"),
]

Description = Annotated[str, Field(max_length=4000, pattern=r"^[^\x00]*$"), AfterValidator(mask_secrets)]
Priority = Annotated[int, Field(ge=-1000, le=1000), BeforeValidator(whole)]
RetriedCause = Annotated[CauseCode, Field(strict=False)]
Step = Annotated[int, Field(ge=0, le=2**53)]


class TrainerFiles(GPUSelection):
    """The configuration of the trainer: its own files as text, or as JSON."""

    config_toml: str | None = Field(None, description="the trainer's configuration, as text, instead of config")
    dataset_toml: str | None = Field(None, description="the dataset's configuration, as text, instead of dataset")
    config: dict[str, Any] | None = Field(None, description="the configuration as JSON")
    dataset: dict[str, Any] | None = Field(None, description="the dataset as JSON")
    env: dict[str, str] | None = Field(None, max_length=64, description="environment variables (allow-listed)")


class StartTraining(TrainerFiles):
    """A request to start a training."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": _EXAMPLE, "allOf": _RULES})

    model_type: str = Field(
        min_length=1, max_length=64, description="the model type to train: flux, wan, sdxl, … or toy"
    )
    name: Name | None = None
    description: Description | None = None
    priority: Priority = Field(0, description="higher priorities start first, then older tasks")
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
            retry_on=None if self.retry_on is None else tuple(self.retry_on),
            **{name: getattr(self, name) for name in _PLAIN},
        )


_PLAIN = (
    "name",
    "description",
    "priority",
    "queue",
    "config_toml",
    "dataset_toml",
    "max_retries",
    "stop_on_hang",
    "keep_last_checkpoints",
    "regenerate_cache",
    "trust_cache",
)


class StopTraining(Strict):
    """How to stop a training."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"force": False}})

    force: bool = Field(False, description="do not wait for a checkpoint")
    timeout_seconds: float | None = Field(
        None, ge=0, le=86_400, description="how long the checkpoint may take before it is terminated"
    )


class StopQuery(Strict):
    """Query parameters of a stop."""

    wait: float = Field(0, ge=0, le=60, description="maximum seconds to wait for the end of the training")


class ResumeTraining(TrainerFiles):
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
        return changed


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


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


class PatchTraining(Change):
    """Fields of a task that can change at any time. Null removes a name or description."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"priority": 10}})

    name: Name | None = None
    description: Description | None = None
    # The default is hidden: an omitted priority stays unchanged.
    priority: Priority = Field(0, json_schema_extra=_without_default)


class ListQuery(PageQuery):
    """Query parameters that select trainings."""

    status: str | None = Field(None, max_length=100, description="one or more, separated by commas: queued,running")
    model_type: str | None = Field(None, pattern=r"^[A-Za-z0-9_.\-]{1,64}$", description="only this model type")
    gpu_id: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_:.\-]{1,80}$", description="only trainings that used this GPU, by index or UUID"
    )
    search: str | None = Field(
        None, max_length=200, pattern=r"^[^\x00]*$", description="part of the id, the name or the description"
    )
    owner: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@\-]{0,63}$",
        description="only trainings of this user; `me` for the current user (without keys all trainings)",
    )
    kind: Literal["training", "cache"] = Field("training", description="cache: tasks that build the cache of a dataset")
    order: TaskOrder = Field(
        TaskOrder.NEWEST, description="queue: only queued trainings, in the order in which they will start"
    )

    @field_validator("status")
    @classmethod
    def _known_statuses(cls, text: str | None) -> str | None:
        known = [status.value for status in TaskStatus]
        unknown = [name for name in _names(text) if name not in known]
        if unknown:
            raise ValueError(f"unknown status {', '.join(unknown)}; use one or more of {', '.join(known)}")
        return text

    def filter(self) -> TaskFilter:
        """Return the filter for the store, without the GPU, which the service resolves."""
        statuses = tuple(TaskStatus(name) for name in _names(self.status))
        owner = current_principal.get().owner if self.owner == ME else self.owner
        return TaskFilter(statuses, self.model_type, None, self.search, owner, kind=TaskType(self.kind))


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


class FileOrder(StrEnum):
    """The order of files in a list."""

    PATH = "path"
    NEWEST = "newest"


class ArtifactsQuery(PageQuery):
    """Query parameters that order files."""

    order: FileOrder = Field(FileOrder.PATH, description="path: numbers in numerical order; newest: newest first")


class DeleteQuery(Strict):
    """Query parameters of a deletion."""

    files: bool = Field(False, description="also delete its files: checkpoints, models, logs")


class TrainingList(Shown):
    """Trainings in the requested order."""

    tasks: list[TaskRow]
    pagination: Pagination


class TrainingEventList(Shown):
    """Events, oldest first."""

    events: list[TaskEvent]
    pagination: Pagination


class ArtifactList(Shown):
    """Files of a training."""

    artifacts: list[Artifact]
    total_bytes: int
    pagination: Pagination


class ValidationAnswer(Envelope[Validation]):
    """The findings about a request."""


class TrainingAnswer(Envelope[TaskDetails]):
    """One training."""


class StoppedTrainingAnswer(Envelope[StoppedTask]):
    """A training with a requested stop."""


class TrainingListAnswer(Envelope[TrainingList]):
    """Trainings."""


class TrainingProgressAnswer(Envelope[TaskProgressView]):
    """Progress of a training."""


class TrainingMetricsAnswer(Envelope[SeriesView]):
    """A metric of a training."""


class CheckpointsAnswer(Envelope[CheckpointList]):
    """Checkpoints of a training."""


class ArtifactsAnswer(Envelope[ArtifactList]):
    """Files of a training."""


class TrainingEventsAnswer(Envelope[TrainingEventList]):
    """Events of a training."""


class DeletedAnswer(Envelope[Deleted]):
    """The deleted training."""
