"""Disk usage of each user.

Files of trainings and downloads are measured in the background, some at a time. Datasets know their size.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from api.domain.tasks.task import TASK_ID_KINDS, TaskType
from api.errors import DatabaseUnavailable
from api.files.task_files import task_files
from api.util.clock import Clock
from api.util.files.foreign_trees import walk
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Interval of measurements in seconds, and limit of trainings measured in one.
MEASURE_SECONDS = 60.0
MOST_AT_ONCE = 1000

#: Seconds for which a figure is valid: for active tasks, and for finished ones, whose files rarely change.
ACTIVE_SECONDS = 300.0
FINISHED_SECONDS = 86_400.0

#: Path levels to enter without following links: `tasks`, the task's directory, and its own.
_LEVELS = 1

#: Limit of files and directories examined per training.
_MOST_ENTRIES = 1_000_000

#: Id and owner of a task, and the end time if it has finished.
OwnedTask = tuple[str, str, float | None]


@dataclass(frozen=True, slots=True)
class _Measured:
    owner: str
    bytes: int
    finished_at: float | None
    at: float  #: on the monotonic clock
    downloaded: Mapping[str, int] = field(default_factory=dict)  #: bytes by path, outside of the task's directory


class StorageMeter:
    """Measures files below this STORAGE_ROOT. Queries only read memory."""

    def __init__(
        self,
        owned_tasks: Callable[[], Iterable[OwnedTask]],
        storage_root: Path,
        clock: Clock,
        stored_by: Callable[[], Mapping[str, int]] = dict,
        downloaded_by: Callable[[str], Mapping[str, int]] = lambda task_id: {},
    ) -> None:
        """Create the meter.

        `stored_by` returns the bytes of datasets and registered models by user, `downloaded_by` those of a download's
        files by path. `on_measured` is called after each measurement.
        """
        self._downloaded_by = downloaded_by
        self.on_measured: Callable[[], None] = lambda: None
        self._owned_tasks = owned_tasks
        self._stored_by = stored_by
        self._stored: Mapping[str, int] = {}
        self._root = storage_root
        self._clock = clock
        self._lock = threading.Lock()
        self._measured: dict[str, _Measured] = {}
        self._sums: dict[str, int | None] | None = None
        self._thread = PeriodicThread("storage-meter", MEASURE_SECONDS, self.measure)

    def start(self) -> None:
        """Start the measuring thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. A measurement blocked by a file system is abandoned."""
        self._thread.stop(timeout=0.5)

    def bytes_of(self, owner: str) -> int | None:
        """Return the bytes on disk of this user's tasks and datasets, or None until all are measured."""
        sums = self._sums
        of_tasks = None if sums is None else sums.get(owner, 0)
        return None if of_tasks is None else of_tasks + self._stored.get(owner, 0)

    def read_datasets(self) -> None:
        """Read the current size of datasets. Raise DatabaseUnavailable."""
        self._stored = self._stored_by()

    def forget(self, task_id: str) -> None:
        """Remove the deleted files of a training from the totals."""
        with self._lock:
            removed = self._measured.pop(task_id, None)
            known = None if removed is None or self._sums is None else self._sums.get(removed.owner)
            if removed is not None and self._sums is not None and known is not None:
                self._sums = {**self._sums, removed.owner: known - removed.bytes}

    def measure(self) -> None:
        """Measure tasks without a current figure. Figures stay while the database is unavailable."""
        try:
            owned = list(self._owned_tasks())
            self.read_datasets()
        except DatabaseUnavailable as error:
            logger.debug("storage cannot be measured", extra={"problem": error.detail})
            return
        now = self._clock.monotonic()
        due = [each for each in owned if self._is_due(each, now)][:MOST_AT_ONCE]
        for task_id, owner, finished_at in due:
            size = self._size_of(task_id)
            with self._lock:
                if size is None:
                    self._measured.pop(task_id, None)
                else:
                    downloaded = self._downloaded_by(task_id)
                    self._measured[task_id] = _Measured(owner, size, finished_at, now, downloaded)
        self._add_up(owned)
        self.on_measured()

    def active_downloads(self) -> list[tuple[str, str]]:
        """Return ids and owners of unfinished downloads."""
        with self._lock:
            rows = list(self._measured.items())
        return [(task_id, row.owner) for task_id, row in rows if is_download(task_id) and row.finished_at is None]

    def _is_due(self, task: OwnedTask, now: float) -> bool:
        task_id, _, finished_at = task
        known = self._measured.get(task_id)
        if known is None or known.finished_at != finished_at:
            return True
        if is_download(task_id):
            # Its files grow fast, and other users may remove them.
            return finished_at is None or now - known.at >= ACTIVE_SECONDS
        return now - known.at >= (ACTIVE_SECONDS if finished_at is None else FINISHED_SECONDS)

    def _size_of(self, task_id: str) -> int | None:
        root = task_files(self._root, task_id).root
        try:
            # Counts blocks, because sparse files take less space than their length.
            found = walk(str(root), _LEVELS, _MOST_ENTRIES)
            return sum(512 * status.st_blocks for path, status in found if not _is_linked(path, status))
        except OSError as error:
            logger.warning(
                "failed to measure the files of a training", extra={"task_id": task_id, "problem": str(error)}
            )
            return None

    def _add_up(self, owned: Iterable[OwnedTask]) -> None:
        sums: dict[str, int | None] = {}
        counted: set[str] = set()  # a file of several downloads counts for the first one
        with self._lock:
            known = self._measured
            self._measured = {task_id: known[task_id] for task_id, _, _ in owned if task_id in known}
            for task_id, owner, _ in sorted(owned):
                before, found = sums.get(owner, 0), known.get(task_id)
                if before is None or found is None:
                    sums[owner] = None
                    continue
                new = {path: size for path, size in found.downloaded.items() if path not in counted}
                counted.update(new)
                sums[owner] = before + found.bytes + sum(new.values())
            self._sums = sums


def is_download(task_id: str) -> bool:
    """Return whether this is the id of a download."""
    return task_id.startswith(f"{TASK_ID_KINDS[TaskType.DOWNLOAD]}_")


def _is_linked(path: str, status: os.stat_result) -> bool:
    """Return whether it is a hard link to a dataset's file, which counts for the dataset's owner."""
    return status.st_nlink > 1 and path.startswith("datasets/")
