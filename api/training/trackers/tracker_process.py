"""A tracker whose library runs in a child process, which is replaced when it hangs or dies."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from api.files.child_process import ChildDied, ChildProcess
from api.training.trackers.tracker import Batch, TrackedRunDeleted, TrackedTraining, TrackerProblem
from api.util.text.masking import mask_secrets

#: Seconds that a tracker may take for a request. A run of W&B ends when its server has everything.
_REQUEST_SECONDS = 120.0

#: Most characters of an error.
_MOST_TEXT = 500


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
