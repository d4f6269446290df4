"""What a trainer's lines say about how far it is."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from api.models.training import Stage, TrainingPlan


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


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a series: `train/loss` at a step, at a time in Unix seconds."""

    tag: str
    step: int
    value: float
    at: float


class OutputReader:
    """Reads lines one after the other; what it has seen can be saved, and it can go on from there."""

    def __init__(self, plan: TrainingPlan, completed_phrase: str, stopped_phrase: str) -> None:
        raise NotImplementedError

    progress: Progress

    def read(self, line: str, at: float) -> Point | None:
        """Takes one line up (without its end); a step line gives the point of its loss."""
        raise NotImplementedError

    def take_point(self, point: Point) -> None:
        """Takes up what an event file says: gradient norm, learning rate, the loss of an epoch."""
        raise NotImplementedError

    def save(self) -> dict[str, Any]:
        """What it has seen, as JSON."""
        raise NotImplementedError

    def restore(self, saved: dict[str, Any]) -> None:
        """Goes on from what `save` gave."""
        raise NotImplementedError
