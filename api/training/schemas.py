"""What requests about trainings may hold, and what their answers look like."""

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
from api.training.wish_schemas import ONE_WAY_TO_GPUS, GPUWish, Notify, SlurmWishes
from api.util.masking import mask_secrets
from api.util.pagination import Pagination
from api.util.validation import Strict
from api.web.schemas import Change, Envelope, Name, PageQuery, Shown, at_most_one, whole

_EXAMPLE: dict[str, Any] = {"model_type": "toy", "gpu_count": 1, "config": {"epochs": 3}}

#: What a start may not say twice: which GPUs, and the trainer's files as text and in structured form.
_RULES: list[JsonValue] = [
    ONE_WAY_TO_GPUS,
    at_most_one("config", "config_toml"),
    at_most_one("dataset", "dataset_toml"),
]

Description = Annotated[str, Field(max_length=4000, pattern=r"^[^\x00]*$"), AfterValidator(mask_secrets)]
Priority = Annotated[int, Field(ge=-1000, le=1000), BeforeValidator(whole)]
RetriedCause = Annotated[CauseCode, Field(strict=False)]
Step = Annotated[int, Field(ge=0, le=2**53)]


class TrainerFiles(GPUWish):
    """What the trainer is to do: its own files as text, or the structured form."""

    config_toml: str | None = Field(None, description="the trainer's configuration, as text; instead of config")
    dataset_toml: str | None = Field(None, description="the dataset's configuration, as text; instead of dataset")
    config: dict[str, Any] | None = Field(None, description="the configuration in structured form")
    dataset: dict[str, Any] | None = Field(None, description="the dataset in structured form")
    env: dict[str, str] | None = Field(None, max_length=64, description="environment variables (allow-listed)")


class StartTraining(TrainerFiles):
    """A training."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": _EXAMPLE, "allOf": _RULES})

    model_type: str = Field(min_length=1, max_length=64, description="what is trained: flux, wan, sdxl, … or toy")
    name: Name | None = None
    description: Description | None = None
    priority: Priority = Field(0, description="the higher goes first; then age")
    queue: bool = Field(True, description="false: 409 `gpu_busy` unless the GPUs are free now")
    max_retries: Annotated[int, Field(ge=0, le=100), BeforeValidator(whole)] = Field(
        0, description="tries again after a failure, from the last complete checkpoint"
    )
    retry_on: list[RetriedCause] | None = Field(None, description="which causes that covers")
    stop_on_hang: bool = Field(False, description="stop it when it seems to hang, instead of only warning")
    keep_last_checkpoints: Annotated[int, Field(ge=1, le=10_000), BeforeValidator(whole)] | None = Field(
        None, description="older complete checkpoints are removed; by default all are kept"
    )
    regenerate_cache: bool = Field(False, description="build the dataset's cache anew")
    trust_cache: bool = Field(False, description="use the dataset's cache without checking it")
    notify: Notify | None = Field(None, description="who is told of what happens to it")
    slurm: SlurmWishes | None = Field(None, description="what it wishes of the cluster, with EXECUTOR=slurm")

    def request(self) -> TrainingRequest:
        """The request as the services take it."""
        return TrainingRequest(
            model_type=self.model_type,
            gpus=self.gpus(),
            config=self.config or {},
            dataset=self.dataset or {},
            env=self.env or {},
            notify=None if self.notify is None else self.notify.notice(),
            slurm=None if self.slurm is None else self.slurm.wishes(),
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
    """Says how a training is to be stopped."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"force": False}})

    force: bool = Field(False, description="do not wait for a checkpoint")
    timeout_seconds: float | None = Field(
        None, ge=0, le=86_400, description="how long the checkpoint may take before it is terminated"
    )


class StopQuery(Strict):
    """How long to wait for the end."""

    wait: float = Field(
        0, ge=0, le=60, description="seconds for which the answer may wait: 200 when it has ended by then"
    )


class ResumeTraining(TrainerFiles):
    """How to go on. What is given replaces what the task had; `config` and `dataset` are merged into it; `config` also
    into a text.
    """

    model_config = ConfigDict(
        strict=True, json_schema_extra={"example": {"config": {"epochs": 6}}, "allOf": [ONE_WAY_TO_GPUS]}
    )

    env: dict[str, str | None] | None = Field(  # type: ignore[assignment]
        None, max_length=64, description="environment variables; null takes one away"
    )
    checkpoint: str | None = Field(
        None, max_length=64, pattern=r"^[A-Za-z0-9_]+$", description="global_step100; the last complete one by default"
    )
    reset_dataloader: bool = Field(False, description="begin the data order anew")
    reset_optimizer: bool = Field(False, description="drop the state of optimizer and learning rate")

    def changes(self, task: TrainingRequest) -> dict[str, Any]:
        """What is changed in the task's request."""
        changed: dict[str, Any] = {}
        for name, text in (("config", self.config_toml), ("dataset", self.dataset_toml)):
            if text is not None:
                changed |= {f"{name}_toml": text, name: {}}
        for name, given in (("config", self.config), ("dataset", self.dataset), ("env", self.env)):
            if name == "config" and given is not None and task.config_toml is not None:
                # They are set in the task's own text, or stand beside the one that replaces it.
                changed[name] = given
            elif given is not None:
                changed[name] = _merge(changed.get(name, getattr(task, name)), given)
        if self.names_gpus:
            changed["gpus"] = self.gpus()
        return changed


def _merge(base: Any, patch: Any) -> Any:
    """RFC 7396: what is given replaces, objects are gone into, null removes."""
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
    """What can be changed of a task at any time; null takes a name or description away."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"priority": 10}})

    name: Name | None = None
    description: Description | None = None
    # It has no default to tell: what is not given stays as it is.
    priority: Priority = Field(0, json_schema_extra=_without_default)


class ListQuery(PageQuery):
    """Says which trainings are wanted."""

    status: str | None = Field(None, max_length=100, description="one or more, by comma: queued,running")
    model_type: str | None = Field(None, pattern=r"^[A-Za-z0-9_.\-]{1,64}$", description="only this model type")
    gpu_id: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_:.\-]{1,80}$", description="only those that had this GPU, by index or UUID"
    )
    search: str | None = Field(
        None, max_length=200, pattern=r"^[^\x00]*$", description="part of the id, the name or the description"
    )
    owner: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@\-]{0,63}$",
        description="only this user's; `me`: one's own (without keys everybody's)",
    )
    kind: Literal["training", "cache"] = Field("training", description="cache: tasks that cache a dataset ahead")
    order: TaskOrder = Field(
        TaskOrder.NEWEST, description="queue: only those that wait, in the order in which they are served"
    )

    @field_validator("status")
    @classmethod
    def _known_statuses(cls, text: str | None) -> str | None:
        known = [status.value for status in TaskStatus]
        unknown = [name for name in _names(text) if name not in known]
        if unknown:
            raise ValueError(f"status has no {', '.join(unknown)}; it is one or more of {', '.join(known)}")
        return text

    def filter(self) -> TaskFilter:
        """The filter as the store takes it; the GPU is the service's to find."""
        statuses = tuple(TaskStatus(name) for name in _names(self.status))
        owner = current_principal.get().owner if self.owner == ME else self.owner
        return TaskFilter(statuses, self.model_type, None, self.search, owner, kind=TaskType(self.kind))


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


class MetricsQuery(Strict):
    """Says which values are wanted."""

    metric: str = Field(
        "loss", min_length=1, max_length=200, description="loss, grad_norm, learning_rate, epoch_loss, or a tag"
    )
    type: XAxis = Field(XAxis.STEP, description="over steps or over epochs")
    limit: int = Field(1000, ge=1, description="values at most; more than 10000 is taken as 10000")
    since_step: Step | None = Field(None, description="only from this step (or epoch) on")


class FileOrder(StrEnum):
    """In which order files are listed."""

    PATH = "path"
    NEWEST = "newest"


class ArtifactsQuery(PageQuery):
    """Says which files are wanted."""

    order: FileOrder = Field(FileOrder.PATH, description="path: numbers in it by their value; newest: the newest first")


class DeleteQuery(Strict):
    """Says what is to be deleted."""

    files: bool = Field(False, description="its files too: checkpoints, models, logs")


class TrainingList(Shown):
    """Trainings, in the order that was asked for."""

    tasks: list[TaskRow]
    pagination: Pagination


class TrainingEventList(Shown):
    """Events, oldest first."""

    events: list[TaskEvent]
    pagination: Pagination


class ArtifactList(Shown):
    """Files."""

    artifacts: list[Artifact]
    total_bytes: int
    pagination: Pagination


class ValidationAnswer(Envelope[Validation]):
    """What was found."""


class TrainingAnswer(Envelope[TaskDetails]):
    """One training."""


class StoppedTrainingAnswer(Envelope[StoppedTask]):
    """A training that was asked to stop."""


class TrainingListAnswer(Envelope[TrainingList]):
    """Trainings."""


class TrainingProgressAnswer(Envelope[TaskProgressView]):
    """How far it is."""


class TrainingMetricsAnswer(Envelope[SeriesView]):
    """A metric."""


class CheckpointsAnswer(Envelope[CheckpointList]):
    """Checkpoints."""


class ArtifactsAnswer(Envelope[ArtifactList]):
    """Files."""


class TrainingEventsAnswer(Envelope[TrainingEventList]):
    """What happened."""


class DeletedAnswer(Envelope[Deleted]):
    """What was deleted."""
