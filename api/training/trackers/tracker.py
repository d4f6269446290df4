"""The seam to a tracker: a Protocol and its fake."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class TrackerProblem(Exception):
    """A tracker does not answer, or refuses."""


class TrackedRunDeleted(TrackerProblem):
    """The run of a training was deleted in the tracker, which refuses it until it is restored."""


@dataclass(frozen=True, slots=True)
class TrackedTraining:
    """A training as a tracker shows it. It has no secrets."""

    task_id: str
    name: str
    config: Mapping[str, Any]
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A sample to send."""

    name: str
    path: str
    caption: str
    is_clip: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent at once: rows with step, time and values by name, samples, and how the training ended."""

    rows: Sequence[tuple[int, float, Mapping[str, float]]] = ()
    pictures: Sequence[Picture] = ()
    status: str | None = None


class Tracker(Protocol):
    """A tracker. One thread at a time calls it, except `stop`."""

    @property
    def name(self) -> str:
        """Its name in TRACKERS."""

    def open(self, training: TrackedTraining) -> int | None:
        """Create or continue the run of a training. Return its number of rows; None: everything sent is there.

        Raise TrackerProblem, or TrackedRunDeleted.
        """

    def send(self, task_id: str, batch: Batch) -> int | None:
        """Send a batch to an open run, and return its number of rows as `open` does. Raise TrackerProblem."""

    def stop(self) -> None:
        """End every request."""


class FakeTracker:
    """A tracker in memory. With `problem`, it is unreachable; with `lost`, it forgets as many of the newest rows."""

    def __init__(self, name: str = "fake", counts_rows: bool = False) -> None:
        self.name = name
        self.problem: str | None = None
        self.opened: dict[str, TrackedTraining] = {}
        self.rows: dict[str, list[tuple[int, Mapping[str, float]]]] = {}
        self.pictures: dict[str, list[Picture]] = {}
        self.statuses: dict[str, list[str]] = {}
        self.deleted: set[str] = set()  #: trainings whose run was deleted
        self.requests = 0
        self._counts_rows = counts_rows

    def open(self, training: TrackedTraining) -> int | None:
        self._answer()
        if training.task_id in self.deleted:
            raise TrackedRunDeleted("the run was deleted")
        self.opened[training.task_id] = training
        return self._count(training.task_id)

    def send(self, task_id: str, batch: Batch) -> int | None:
        self._answer()
        self.rows.setdefault(task_id, []).extend((step, values) for step, _, values in batch.rows)
        self.pictures.setdefault(task_id, []).extend(batch.pictures)
        if batch.status is not None:
            self.statuses.setdefault(task_id, []).append(batch.status)
        return self._count(task_id)

    def stop(self) -> None:
        self.problem = "stopped"

    def _count(self, task_id: str) -> int | None:
        return len(self.rows.get(task_id, ())) if self._counts_rows else None

    def _answer(self) -> None:
        self.requests += 1
        if self.problem is not None:
            raise TrackerProblem(self.problem)
