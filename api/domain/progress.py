"""How far an attempt is: as its output tells, as it is kept and shown; and the points of its series."""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, TypeVar


class Stage(StrEnum):
    """What a running trainer is busy with."""

    LOADING = "loading"
    CACHING = "caching"
    TRAINING = "training"
    EVALUATING = "evaluating"
    SAVING = "saving"


#: Stages in which a trainer looks for its signal files. While it loads or caches it has nothing to save.
LISTENING_STAGES = (Stage.TRAINING, Stage.EVALUATING, Stage.SAVING)


@dataclass(slots=True)
class Progress:
    """How far an attempt is, as its output told so far. Times are Unix seconds; unknown is None."""

    stage: Stage = Stage.LOADING
    epoch: int | None = None  #: from 1
    step: int | None = None
    first_step: int | None = None  #: the first step that this attempt made
    epochs: int | None = None
    steps_per_epoch: int | None = None  #: as planned, then as seen
    total_steps: int | None = None
    loss: float | None = None  #: NaN is a value: the trainer said so
    best_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    epoch_loss: float | None = None
    best_epoch: int | None = None
    samples_per_second: float | None = None
    seconds_per_step: float | None = None  #: the median of the latest steps
    longest_step: float | None = None
    nan_in_a_row: int = 0
    nan_steps: int = 0
    stage_since: float | None = None
    last_step_at: float | None = None
    last_line_at: float | None = None
    phrases: set[str] = field(default_factory=set)
    warnings: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    epoch_began_after: int | None = None  #: the last step before this epoch, where that is certain
    activity: str | None = None  #: what a preprocessing is busy with, in words
    only_caches: bool = False  #: it makes a cache, and no steps
    items_cached: int | None = None  #: media files whose pixels are cached, once for each of their sizes

    def shift(self, seconds: float) -> None:
        """Moves all times by so many seconds, after the wall clock was set by as much: ages stay as they were."""
        for name in ("stage_since", "last_step_at", "last_line_at"):
            at = getattr(self, name)
            if at is not None:
                setattr(self, name, at + seconds)

    @property
    def overall_progress(self) -> float | None:
        """How much of the whole is done, 0 to 100."""
        if self.step is None or not self.total_steps:
            return None
        return min(100.0, 100.0 * self.step / self.total_steps)

    @property
    def epoch_progress(self) -> float | None:
        """How much of this epoch is done, 0 to 100. After a resume it takes the epochs before for whole ones."""
        if self.step is None or self.epoch is None or not self.steps_per_epoch:
            return None
        before = self.epoch_began_after
        done = self.step - ((self.epoch - 1) * self.steps_per_epoch if before is None else before)
        if before is None and not 0 <= done <= self.steps_per_epoch:
            return None
        return min(100.0, max(0.0, 100.0 * done / self.steps_per_epoch))

    @property
    def eta_seconds(self) -> float | None:
        """Seconds of training left at the present pace; evaluations and saves come on top."""
        if self.step is None or self.total_steps is None or self.seconds_per_step is None:
            return None
        return max(0, self.total_steps - self.step) * self.seconds_per_step


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a series: `train/loss` at a step, at a time in Unix seconds."""

    tag: str
    step: int
    value: float
    at: float


@dataclass(frozen=True, slots=True)
class ProgressView:
    """How far a training is. Durations in seconds, progress 0 to 100."""

    stage: Stage | None
    current_epoch: int | None
    total_epochs: int | None
    current_step: int | None
    total_steps: int | None
    steps_per_epoch: int | None
    epoch_progress: float | None
    overall_progress: float | None
    eta_seconds: float | None
    eta_formatted: str | None
    training_time: float | None
    training_time_formatted: str | None
    activity: str | None = None  #: what a preprocessing is busy with, in words; null for trainings
    items_cached: int | None = None  #: of a task that caches ahead: media files, once for each of their sizes


@dataclass(frozen=True, slots=True)
class MetricsView:
    """The latest values; a loss that is no number is null, and counted."""

    current_loss: float | None
    best_loss: float | None
    learning_rate: float | None
    grad_norm: float | None
    epoch_loss: float | None
    best_epoch: int | None
    nan_steps: int | None


@dataclass(frozen=True, slots=True)
class SpeedView:
    """How fast it is."""

    steps_per_second: float | None
    samples_per_second: float | None
    time_per_step: float | None


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """How far a task is, as it is told, kept in the database and shown."""

    progress: ProgressView
    metrics: MetricsView
    speed: SpeedView
    warnings: tuple[str, ...] = ()
    attempt: str | None = None  #: the uid of the attempt that it is of
    first_step: int | None = None  #: the first step that this attempt made

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {**asdict(self), "warnings": list(self.warnings)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "ProgressReport":
        """What was kept, by whichever version: what that did not know of is None, and what only it knew is left out."""
        progress = kept.get("progress") or {}
        return cls(
            _read(ProgressView, {**progress, "stage": _STAGES.get(progress.get("stage"))}),
            _read(MetricsView, kept.get("metrics")),
            _read(SpeedView, kept.get("speed")),
            tuple(kept.get("warnings") or ()),
            kept.get("attempt"),
            kept.get("first_step"),
        )

    def without_pace(self) -> "ProgressReport":
        """The report without speed and time left, for an attempt whose steps do not come or cannot be seen."""
        progress = replace(self.progress, eta_seconds=None, eta_formatted=None)
        return replace(self, progress=progress, speed=_read(SpeedView, None))


_Part = TypeVar("_Part", ProgressView, MetricsView, SpeedView)


_STAGES: dict[Any, Stage] = {stage.value: stage for stage in Stage}

#: The names of the fields of each part, in their order; asked for with every task that is read.
_NAMES: dict[type, tuple[str, ...]] = {
    part: tuple(each.name for each in fields(part)) for part in (ProgressView, MetricsView, SpeedView)
}


def _read(part: type[_Part], kept: Mapping[str, Any] | None) -> _Part:
    given = kept or {}
    return part(*[given.get(name) for name in _NAMES[part]])


#: Of a task that has said nothing yet.
NOTHING_YET = ProgressReport.from_json({"progress": {"overall_progress": 0.0}})
