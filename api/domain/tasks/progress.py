"""Progress of an attempt, as read from its output, stored and shown, and points of its series."""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, TypeVar


class Stage(StrEnum):
    """The current stage of a running trainer."""

    LOADING = "loading"
    CACHING = "caching"
    TRAINING = "training"
    EVALUATING = "evaluating"
    SAVING = "saving"


#: Stages in which a trainer checks for its signal files. While it loads or caches, it has nothing to save.
LISTENING_STAGES = (Stage.TRAINING, Stage.EVALUATING, Stage.SAVING)


@dataclass(slots=True)
class Progress:
    """Progress of an attempt, as its output has reported it. Times are Unix seconds; unknown is None."""

    stage: Stage = Stage.LOADING
    epoch: int | None = None  #: from 1
    step: int | None = None
    first_step: int | None = None  #: first step of this attempt
    epochs: int | None = None
    steps_per_epoch: int | None = None  #: as planned, then as observed
    total_steps: int | None = None
    loss: float | None = None  #: may be NaN, if the trainer reported NaN
    best_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    epoch_loss: float | None = None
    best_epoch: int | None = None
    samples_per_second: float | None = None
    seconds_per_step: float | None = None  #: median of the latest steps
    longest_step: float | None = None
    nan_in_a_row: int = 0
    nan_steps: int = 0
    stage_since: float | None = None
    last_step_at: float | None = None
    last_line_at: float | None = None
    phrases: set[str] = field(default_factory=set)
    warnings: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    epoch_began_after: int | None = None  #: last step before this epoch, if certain
    activity: str | None = None  #: current activity of a preprocessing, as text
    only_caches: bool = False  #: the task builds a cache and makes no steps
    items_cached: int | None = None  #: media files with cached latents, once per size
    stage_seconds: dict[str, float] = field(default_factory=dict)  #: time spent in each stage, without the current one
    bar_seconds: float = 0.0  #: time of finished progress bars while caching
    steady_bar_seconds: float = 0.0  #: the same, as if their first items had taken as long as the others

    def shift(self, seconds: float) -> None:
        """Move all times by this many seconds, after the wall clock was set, so that ages stay the same."""
        for name in ("stage_since", "last_step_at", "last_line_at"):
            at = getattr(self, name)
            if at is not None:
                setattr(self, name, at + seconds)

    @property
    def overall_progress(self) -> float | None:
        """Overall progress from 0 to 100."""
        if self.step is None or not self.total_steps:
            return None
        return min(100.0, 100.0 * self.step / self.total_steps)

    @property
    def epoch_progress(self) -> float | None:
        """Progress within the epoch from 0 to 100. After a resume, earlier epochs are assumed complete."""
        if self.step is None or self.epoch is None or not self.steps_per_epoch:
            return None
        before = self.epoch_began_after
        done = self.step - ((self.epoch - 1) * self.steps_per_epoch if before is None else before)
        if before is None and not 0 <= done <= self.steps_per_epoch:
            return None
        return min(100.0, max(0.0, 100.0 * done / self.steps_per_epoch))

    @property
    def eta_seconds(self) -> float | None:
        """Seconds of training left at the current pace, without evaluations and saves."""
        if self.step is None or self.total_steps is None or self.seconds_per_step is None:
            return None
        return max(0, self.total_steps - self.step) * self.seconds_per_step


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a series such as `train/loss` at a step. `at` is in Unix seconds."""

    tag: str
    step: int
    value: float
    at: float


@dataclass(frozen=True, slots=True)
class ProgressView:
    """Progress of a training. Durations in seconds, progress from 0 to 100."""

    stage: Stage | None  #: what the trainer does now; null if it does not run
    current_epoch: int | None  #: from 1; null until the first step
    total_epochs: int | None  #: planned number; null if unknown
    current_step: int | None  #: latest step, from 1; while a resumed training loads, that of its checkpoint
    total_steps: int | None  #: planned number; null until it is known
    steps_per_epoch: int | None  #: as planned, then as observed
    epoch_progress: float | None  #: progress in this epoch in %; null if unknown
    overall_progress: float | None  #: progress of the whole training in %; null if the total is unknown
    eta_seconds: float | None  #: estimated seconds to the end; null if unknown or ended
    eta_formatted: str | None  #: the same as text
    training_time: float | None  #: seconds that all attempts have run; null before the first start
    training_time_formatted: str | None  #: the same as text
    activity: str | None = None  #: current activity of a preprocessing, as text; null for trainings
    #: media files with cached latents, once per size; only for tasks that build a cache
    items_cached: int | None = None


@dataclass(frozen=True, slots=True)
class MetricsView:
    """The latest values. A loss that is not a number is null, and counted."""

    current_loss: float | None  #: loss of the latest step
    best_loss: float | None  #: lowest loss of a step so far
    learning_rate: float | None  #: of the latest step
    grad_norm: float | None  #: norm of the latest gradient; null if the trainer does not record it
    epoch_loss: float | None  #: mean loss of the latest finished epoch
    best_epoch: int | None  #: epoch with the lowest mean loss, from 1; null before the first has ended
    nan_steps: int | None  #: steps whose loss was not a number


@dataclass(frozen=True, slots=True)
class SpeedView:
    """The speed of a training."""

    steps_per_second: float | None  #: null until it is known
    samples_per_second: float | None  #: examples per second over all GPUs, as the trainer prints it
    time_per_step: float | None  #: seconds per step, median of the latest


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """Progress of a task, as reported, stored and shown."""

    progress: ProgressView
    metrics: MetricsView
    speed: SpeedView
    warnings: tuple[str, ...] = ()
    attempt: str | None = None  #: uid of the attempt that it describes
    first_step: int | None = None  #: first step of this attempt

    def as_json(self) -> dict[str, Any]:
        """Return the mapping that `from_json` reads."""
        return {**asdict(self), "warnings": list(self.warnings)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "ProgressReport":
        """Return a stored report of any version. Missing fields become None and unknown ones are ignored."""
        progress = stored.get("progress") or {}
        return cls(
            _read(ProgressView, {**progress, "stage": _STAGES.get(progress.get("stage"))}),
            _read(MetricsView, stored.get("metrics")),
            _read(SpeedView, stored.get("speed")),
            tuple(stored.get("warnings") or ()),
            stored.get("attempt"),
            stored.get("first_step"),
        )

    def without_pace(self) -> "ProgressReport":
        """Return the report without speed and remaining time, for an attempt whose steps cannot be observed."""
        progress = replace(self.progress, eta_seconds=None, eta_formatted=None)
        return replace(self, progress=progress, speed=_read(SpeedView, None))


_Part = TypeVar("_Part", ProgressView, MetricsView, SpeedView)


_STAGES: dict[Any, Stage] = {stage.value: stage for stage in Stage}

#: Field names of each part in order, cached because every task that is read needs them.
_NAMES: dict[type, tuple[str, ...]] = {
    part: tuple(each.name for each in fields(part)) for part in (ProgressView, MetricsView, SpeedView)
}


def _read(part: type[_Part], stored: Mapping[str, Any] | None) -> _Part:
    given = stored or {}
    return part(*[given.get(name) for name in _NAMES[part]])


#: The report of a task before its program reports progress.
NO_PROGRESS = ProgressReport.from_json({"progress": {"overall_progress": 0.0}})
