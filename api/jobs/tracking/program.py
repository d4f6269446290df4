"""The program that writes to a tracker: `python -m api.jobs.tracking.program wandb PROJECT DIRECTORY`.

It reads requests as lines of JSON and answers each by one, so that a library that hangs, prints or starts processes
affects neither the service nor the training.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from api.jobs.errors import LibraryFailed, RunDeleted


class TrackerRun(Protocol):
    """One training in a tracker."""

    @property
    def rows(self) -> int | None:
        """The number of rows that the tracker has; None if all that was written is certainly there."""

    def log(self, rows: Sequence[tuple[int, float, Mapping[str, float]]]) -> None:
        """Write values by name, each row with its step and its time. Return when they are stored or queued."""

    def add_picture(self, name: str, path: str, caption: str, is_clip: bool) -> None:
        """Add a sample."""

    def end(self, status: str) -> None:
        """Store how the training ended: completed, failed or stopped. The run can be opened again."""


class Backend(Protocol):
    """The library of a tracker."""

    def open(self, task_id: str, name: str, config: Mapping[str, Any], tags: Sequence[str]) -> TrackerRun:
        """Return the run of a training, the same one whenever it is opened again."""


def _create(name: str, project: str, directory: Path) -> Backend:
    # Only the library of this tracker is installed.
    if name == "wandb":
        from api.jobs.tracking.wandb_run import WandbBackend  # noqa: PLC0415

        return WandbBackend(project, directory)
    if name == "mlflow":
        from api.jobs.tracking.mlflow_run import MlflowBackend  # noqa: PLC0415

        return MlflowBackend(project, directory)
    from api.jobs.tracking.trackio_run import TrackioBackend  # noqa: PLC0415

    return TrackioBackend(project, directory)


class TrackingProgram:
    """The open runs of one tracker."""

    def __init__(self, create: Callable[[], Backend]) -> None:
        self._create = create
        self._backend: Backend | None = None
        self._runs: dict[str, TrackerRun] = {}

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request: the number of rows in the tracker if it is known, or an error."""
        try:
            return {"rows": self._carry_out(request)}
        except LibraryFailed as error:
            return {"error": str(error), "is_over": True, "is_deleted": isinstance(error, RunDeleted)}
        except Exception as error:  # whatever the library raises
            # The service masks keys, of which a cut could leave a part, before it cuts further.
            return {"error": f"{type(error).__name__}: {error}"[:50_000]}

    def _carry_out(self, request: Mapping[str, Any]) -> int | None:
        task_id = request["task_id"]
        if request["do"] == "open":
            self._backend = self._backend or self._create()
            if task_id not in self._runs:
                facts = (request["name"], request["config"], request["tags"])
                self._runs[task_id] = self._backend.open(task_id, *facts)
            return self._runs[task_id].rows
        run = self._runs[task_id]
        if request["rows"]:
            run.log(request["rows"])
        for each in request["pictures"]:
            run.add_picture(each["name"], each["path"], each["caption"], each["is_clip"])
        rows = run.rows
        if request["status"] is not None:
            run.end(request["status"])
            del self._runs[task_id]
        return rows


def main() -> None:
    """Answer requests until standard input ends."""
    name, project, directory = sys.argv[1:]
    # What libraries print goes where errors go.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    program = TrackingProgram(lambda: _create(name, project, Path(directory)))
    for line in sys.stdin:
        answers.write(json.dumps(program.answer(json.loads(line))) + "\n")
        answers.flush()
    # The service has ended: a library must not delay that, and sends the rest when the run is opened again.
    os._exit(0)


if __name__ == "__main__":
    main()
