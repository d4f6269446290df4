"""How much disk the files of each user take: of their trainings and downloads, measured in the background, some at a
time; and of their datasets, which know it.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from api.domain.task import TASK_ID_KINDS, TaskType
from api.errors import DatabaseUnavailable
from api.files.task_files import task_files
from api.util.clock import Clock
from api.util.foreign_trees import walk
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two looks, and the most trainings that are measured in one.
LOOK_SECONDS = 60.0
MOST_AT_ONCE = 1000

#: Seconds for which a figure holds: while a training goes on, and after its end, when only other people change it.
ACTIVE_SECONDS = 300.0
FINISHED_SECONDS = 86_400.0

#: Parts of a path that are entered without following a link: `tasks`, the task's, and its own.
_LEVELS = 1

#: The most files and directories of one training that are looked at.
_MOST_ENTRIES = 1_000_000

#: A training's id, its owner, and for a finished one the time of its end.
OwnedTask = tuple[str, str, float | None]


@dataclass(frozen=True, slots=True)
class _Measured:
    owner: str
    bytes: int
    finished_at: float | None
    at: float  #: monotonic
    downloaded: Mapping[str, int] = field(default_factory=dict)  #: bytes by path, outside of the task's directory


class StorageMeter:
    """The figures below this STORAGE_ROOT. Asking reads memory only."""

    def __init__(
        self,
        owned_tasks: Callable[[], Iterable[OwnedTask]],
        storage_root: Path,
        clock: Clock,
        stored_by: Callable[[], Mapping[str, int]] = dict,
        downloaded_by: Callable[[str], Mapping[str, int]] = lambda task_id: {},
    ) -> None:
        """`stored_by` gives the bytes of the datasets and registered models of each user, `downloaded_by` those of the
        files that a download has brought or brings, by path. `on_measured` is called after each look.
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
        self._thread = PeriodicThread("storage-meter", LOOK_SECONDS, self.measure)

    def start(self) -> None:
        """Starts the thread that measures."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread; a look at a file system that hangs is left behind."""
        self._thread.stop(timeout=0.5)

    def bytes_of(self, owner: str) -> int | None:
        """Bytes on disk of this user's trainings and datasets; None: not all of them are measured yet."""
        sums = self._sums
        of_tasks = None if sums is None else sums.get(owner, 0)
        return None if of_tasks is None else of_tasks + self._stored.get(owner, 0)

    def ask_datasets(self) -> None:
        """Takes what datasets hold now. Raises DatabaseUnavailable."""
        self._stored = self._stored_by()

    def forget(self, task_id: str) -> None:
        """Counts the files of a training no more: they were deleted."""
        with self._lock:
            gone = self._measured.pop(task_id, None)
            known = None if gone is None or self._sums is None else self._sums.get(gone.owner)
            if gone is not None and self._sums is not None and known is not None:
                self._sums = {**self._sums, gone.owner: known - gone.bytes}

    def measure(self) -> None:
        """Measures what was not measured yet or too long ago. While the database does not answer, figures stay."""
        try:
            owned = list(self._owned_tasks())
            self.ask_datasets()
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
        """The ids and owners of downloads that have not ended."""
        with self._lock:
            rows = list(self._measured.items())
        return [(task_id, row.owner) for task_id, row in rows if is_download(task_id) and row.finished_at is None]

    def _is_due(self, task: OwnedTask, now: float) -> bool:
        task_id, _, finished_at = task
        known = self._measured.get(task_id)
        if known is None or known.finished_at != finished_at:
            return True
        if is_download(task_id):
            # Its files grow fast, and others may remove them.
            return finished_at is None or now - known.at >= ACTIVE_SECONDS
        return now - known.at >= (ACTIVE_SECONDS if finished_at is None else FINISHED_SECONDS)

    def _size_of(self, task_id: str) -> int | None:
        root = task_files(self._root, task_id).root
        try:
            # Blocks, not lengths: a file with holes takes less than it is long.
            found = walk(str(root), _LEVELS, _MOST_ENTRIES)
            return sum(512 * status.st_blocks for path, status in found if not _is_linked(path, status))
        except OSError as error:
            logger.warning("the files of a training cannot be measured", extra={"task_id": task_id, "why": str(error)})
            return None

    def _add_up(self, owned: Iterable[OwnedTask]) -> None:
        sums: dict[str, int | None] = {}
        counted: set[str] = set()  # a file that several downloads have brought counts to the first
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
    """Whether this is the id of a download."""
    return task_id.startswith(f"{TASK_ID_KINDS[TaskType.DOWNLOAD]}_")


def _is_linked(path: str, status: os.stat_result) -> bool:
    """Whether it is another name of a dataset's file, which counts to the owner of that."""
    return status.st_nlink > 1 and path.startswith("datasets/")
