"""The seam to a tracker: a Protocol, its fake, and the child process that uses the tracker's library."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from api.files.child_process import ChildDied, ChildProcess
from api.util.text.masking import mask_secrets

#: Seconds that a tracker may take for a request. A run of W&B ends when its server has everything.
_REQUEST_SECONDS = 120.0

#: Most characters of an error.
_MOST_TEXT = 500


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


@dataclass(slots=True)
class TrackerProcess:
    """A tracker whose library runs in a child process, which is replaced when it hangs or dies."""

    name: str
    project: str
    directory: Path  #: for files of the library
    environment: Mapping[str, str]  #: of the child, with the tracker's keys
    _child: ChildProcess | None = field(default=None, init=False)
    _is_stopped: bool = field(default=False, init=False)

    def open(self, training: TrackedTraining) -> int | None:
        return self._request({"do": "open", **asdict(training)})

    def send(self, task_id: str, batch: Batch) -> int | None:
        return self._request({"do": "send", "task_id": task_id, **asdict(batch)})

    def stop(self) -> None:
        self._is_stopped = True
        child = self._child
        if child is not None:
            child.end()

    def _request(self, message: Mapping[str, Any]) -> int | None:
        if self._is_stopped:
            raise TrackerProblem("the service stops")
        try:
            self._child = self._child or self._start()
            answer, _ = self._child.request(message, _REQUEST_SECONDS)
            rows = answer.get("rows")
            if not isinstance(rows, int | None):
                raise ValueError("its answer is not valid")
        except (ChildDied, OSError, ValueError) as error:
            if self._child is not None:
                self._child.end()
            self._child = None
            raise TrackerProblem(f"it does not answer ({error})") from None
        if answer.get("is_over"):
            self._child.end()
            self._child = None
        if "error" in answer:
            problem = TrackedRunDeleted if answer.get("is_deleted") else TrackerProblem
            raise problem(mask_secrets(str(answer["error"]), list(self._keys()))[:_MOST_TEXT])
        return rows

    def _keys(self) -> list[str]:
        marks = ("KEY", "TOKEN", "SECRET", "PASSWORD")
        return [value for name, value in self.environment.items() if value and any(mark in name for mark in marks)]

    def _start(self) -> ChildProcess:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "api.jobs.tracking.program", self.name, self.project, str(self.directory)]
        return ChildProcess(argv, self.environment)
