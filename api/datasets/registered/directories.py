"""Directories on the server that are used in place as datasets.

They are only read, checked for changes regularly, and hashed when files have changed.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from api.access.readable_paths import ReadablePaths
from api.datasets.materials import Locate
from api.datasets.records.dataset_store import DatasetStore
from api.datasets.registered.hashing import UNREAD, DirectoryHashing
from api.datasets.registered.known_files import RegisteredFile, RegisteredFileStore
from api.datasets.registered.listing import EXAMPLES, compare, first_of, is_still, list_directory
from api.datasets.service import DatasetService
from api.datasets.views import DatasetDetails, DatasetRow
from api.domain.access.audit import SERVICE
from api.domain.access.principal import Permission, Principal
from api.domain.access.read_scope import current_scope
from api.domain.datasets.dataset import Dataset, DirectoryWatch, ManifestItem, WatchState
from api.domain.finding import make_finding
from api.errors import (
    Conflict,
    DatabaseUnavailable,
    DatasetChanged,
    FindingText,
    Invalid,
    ServiceError,
)
from api.files.archives.limits import BadArchive
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two checks of all registered directories.
CHECK_SECONDS = 60.0

#: Seconds for which one directory is read before the next one's turn, and between two progress reports.
TURN_SECONDS = 1.0
REPORT_SECONDS = 2.0

#: Attempts to add a version when other writers change the dataset.
_TRIES = 3

#: Seconds without a progress report after which another server restarts a reading, because its server has ended.
_ABANDONED_SECONDS = 3 * CHECK_SECONDS


@dataclass(slots=True)
class _Reading:
    """A directory that is being read."""

    dataset: Dataset
    actor: str
    hashing: DirectoryHashing
    reported_at: float = 0.0  #: monotonic time


class RegisteredDirectories:
    """Registers directories, and watches them in its own threads."""

    def __init__(
        self,
        service: DatasetService,
        store: DatasetStore,
        files: RegisteredFileStore,
        roots: Sequence[Path],
        clock: Clock,
        paths: ReadablePaths | None = None,
    ) -> None:
        """`roots` are the directories below which others may be registered.

        `paths` None: every directory below them may be read.
        """
        self._paths = paths
        self._service = service
        self._store = store
        self._files = files
        self.set_roots(roots)
        self._clock = clock
        self._lock = threading.Lock()
        self._wanted: dict[int, str] = {}  #: actors by the serial of datasets to read
        self._readings: dict[int, _Reading] = {}  #: changed by the reader's thread only
        self._is_ending = threading.Event()
        self._watcher = PeriodicThread("dataset-watch", CHECK_SECONDS, self.check_once)
        self._reader = PeriodicThread("dataset-reader", None, self.read_once)

    def set_roots(self, roots: Sequence[Path], of_administrators: Sequence[Path] = ()) -> None:
        """Replace the directories below which others may be registered, by everyone and by administrators only."""
        self._roots = tuple(root.resolve() for root in roots)
        self._roots_of_administrators = tuple(root.resolve() for root in of_administrators)

    def start(self) -> None:
        """Start watching."""
        self._watcher.start()
        self._reader.start()

    def stop(self) -> None:
        """Stop watching; do not wait for a check on a file system that hangs."""
        self._is_ending.set()
        self._watcher.stop(timeout=0.5)
        self._reader.stop(timeout=0.5)

    # -- requests ----------------------------------------------------------------------------------------------------

    def create(self, name: str, principal: Principal, fields: Mapping[str, Any]) -> DatasetRow:
        """Create an empty dataset, or one of a directory, which is read soon. Raises Invalid, DatasetExists."""
        directory = fields.get("directory")
        if directory is None:
            return self._service.create(name, principal, fields)
        path = self._require_allowed(directory, principal)
        made = self._service.make(name, principal.owner, {**fields, "directory": str(path)})
        self._request_reading(made, principal.actor)
        return DatasetRow.of(self._store.get(name))

    def refresh(self, name: str, actor: str) -> DatasetDetails:
        """Request a new reading of a registered directory. Raises DatasetNotFound, Conflict."""
        dataset = self._service.find(name)
        if dataset.directory is None:
            raise Conflict(f"{name} is not a directory on the server: upload files into it.")
        self._request_reading(dataset, actor)
        return self._service.get(name)

    def _request_reading(self, dataset: Dataset, actor: str, *, is_shown: bool = True) -> None:
        with self._lock:
            self._wanted[dataset.serial] = actor
        if is_shown:
            self._store.note_watch(dataset.serial, DirectoryWatch(WatchState.READING, self._clock.now()))
        self._reader.trigger()

    def _require_allowed(self, directory: str, principal: Principal) -> Path:
        """Return the real path of a directory that may be registered. Raises Invalid for any other."""
        path, roots = Path(directory), self._roots
        # Administrators may change DATASET_DIRECTORIES anyway.
        if principal.may(Permission.SYSTEM_WRITE):
            roots += self._roots_of_administrators
        problem: FindingText | None = None
        try:
            real = path.resolve()
            if not path.is_absolute():
                problem = FindingText("directory_not_absolute", "The path is not absolute.", "Start it with `/`.")
            elif not any(real.is_relative_to(root) for root in roots) or not self._may_read(real):
                problem = (
                    FindingText(
                        "directory_not_permitted",
                        "This directory is not permitted.",
                        "Use a directory below one of DATASET_DIRECTORIES that does not belong to another user.",
                    )
                    if roots
                    else FindingText(
                        "directories_not_permitted",
                        "This server does not permit registered directories.",
                        "Use a directory below one of DATASET_DIRECTORIES that does not belong to another user.",
                    )
                )
            elif not real.is_dir():
                problem = FindingText("directory_not_found", "There is no such directory.", "Correct the path.")
        except (OSError, ValueError, RuntimeError) as error:
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/directory",
                        FindingText("directory_unreadable", "The path cannot be read: {why}.", "Correct the path."),
                        why=f"{error}",
                    )
                ]
            ) from None
        if problem is not None:
            raise Invalid(mistakes=[make_finding("/directory", problem)])
        return real

    def _may_read(self, real: Path) -> bool:
        scope = current_scope.get()
        # A user may not register a directory that contains the roots, because others could then not register theirs.
        if not scope.sees_all and any(root.is_relative_to(real) for root in self._roots):
            return False
        return self._paths is None or self._paths.may_register(real, scope)

    # -- watching ------------------------------------------------------------------------------------------------------

    def check_once(self) -> None:
        """Check every registered directory that is not being read; request a reading of those without a version."""
        try:
            for dataset in self._store.registered():
                if self._needs_reading(dataset):
                    self._request_reading(dataset, SERVICE, is_shown=False)
                elif dataset.watch is None or dataset.watch.state is not WatchState.READING:
                    self._check(dataset)
        except DatabaseUnavailable as error:
            logger.debug("registered directories cannot be checked", extra={"problem": error.detail})

    def _needs_reading(self, dataset: Dataset) -> bool:
        with self._lock:
            if dataset.serial in self._wanted or dataset.serial in self._readings:
                return False
        if dataset.watch is None or dataset.watch.state is not WatchState.READING:
            return dataset.latest is None
        return abs((self._clock.now() - dataset.watch.checked_at).total_seconds()) >= _ABANDONED_SECONDS

    def _check(self, dataset: Dataset) -> None:
        now = self._clock.now()
        try:
            watch = compare(list_directory(dataset.directory or ""), self._files.of(dataset.serial), dataset.watch, now)
        except OSError as error:
            watch = DirectoryWatch(WatchState.GONE, now, problem=_describe(error))
        if dataset.watch is None or replace(dataset.watch, checked_at=now) != watch:
            self._store.note_watch(dataset.serial, watch)

    # -- reading -------------------------------------------------------------------------------------------------------

    def read_once(self) -> None:
        """Read each requested directory for one turn; directories that are not finished wait for their next turn."""
        try:
            self._start_requested()
            for serial, reading in list(self._readings.items()):
                if self._is_ending.is_set():
                    return
                self._take_turn(serial, reading)
        except DatabaseUnavailable as error:
            logger.debug("registered directories cannot be read", extra={"problem": error.detail})
            self._is_ending.wait(TURN_SECONDS)
        with self._lock:
            has_more = bool(self._readings or self._wanted)
        if has_more:
            self._reader.trigger()

    def _start_requested(self) -> None:
        with self._lock:
            wanted = {serial: actor for serial, actor in self._wanted.items() if serial not in self._readings}
        for serial, actor in wanted.items():
            dataset = self._store.get_by_serial(serial)
            if dataset is not None:
                self._start_reading(dataset, actor)
            with self._lock:
                self._wanted.pop(serial, None)

    def _start_reading(self, dataset: Dataset, actor: str) -> None:
        try:
            known, root = self._files.of(dataset.serial), dataset.directory or ""
            hashing = DirectoryHashing(Path(root), list_directory(root), known, self._is_ending.is_set)
        except (OSError, BadArchive) as error:
            self._report_problem(dataset, error)
            return
        with self._lock:
            self._readings[dataset.serial] = _Reading(dataset, actor, hashing)

    def _take_turn(self, serial: int, reading: _Reading) -> None:
        try:
            exists = self._report_progress(reading)
            if exists and not reading.hashing.read_for(TURN_SECONDS):
                return
            if exists:
                self._finish(reading)
        except DatabaseUnavailable:
            raise
        except DatasetChanged:
            self._check(reading.dataset)  # another server has read it meanwhile
        except (OSError, BadArchive, ServiceError) as error:
            self._report_problem(reading.dataset, error)
        reading.hashing.close()
        with self._lock:
            del self._readings[serial]

    def _report_progress(self, reading: _Reading) -> bool:
        """Store the progress from time to time; return False if the dataset was deleted meanwhile."""
        if time.monotonic() - reading.reported_at < REPORT_SECONDS:
            return True
        hashing, now = reading.hashing, self._clock.now()
        watch = DirectoryWatch(WatchState.READING, now, read_bytes=hashing.read_bytes, total_bytes=hashing.total_bytes)
        reading.reported_at = time.monotonic()
        return self._store.note_watch(reading.dataset.serial, watch)

    def _finish(self, reading: _Reading) -> None:
        """Make a version of the files that were read. Raises OSError, BadArchive, ServiceError."""
        dataset, found, listing = reading.dataset, reading.hashing.finish(), reading.hashing.listing
        for _ in range(_TRIES - 1):
            # A version that was added meanwhile is an edit of items, or another server's reading of the directory.
            with suppress(DatasetChanged):
                self._add_version(reading, found.items)
                break
        else:
            self._add_version(reading, found.items)
        self._files.replace(dataset.serial, found.files)
        self._store.note_watch(
            dataset.serial,
            DirectoryWatch(
                WatchState.SAME,
                self._clock.now(),
                misnamed=len(listing.misnamed),
                unread=len(found.findings),
                left_out=len(listing.left_out),
                findings=first_of(listing, found.findings),
            ),
        )

    def _add_version(self, reading: _Reading, items: Sequence[ManifestItem]) -> None:
        serial, directory = reading.dataset.serial, reading.dataset.directory
        current = self._store.get_by_serial(serial) or reading.dataset  # it may have been renamed
        if current.latest is not None:
            latest = self._service.find_version(current)
            items = _as_edited(items, self._files.of(serial), self._service.read_items(latest.manifest_sha256))
        self._service.add_version(
            current,
            items,
            reading.actor,
            f"read from {directory}",
            expected_latest=current.latest,
            origin={"directory": directory},
        )

    def _report_problem(self, dataset: Dataset, error: Exception) -> None:
        self._store.note_watch(
            dataset.serial, DirectoryWatch(WatchState.GONE, self._clock.now(), problem=_describe(error))
        )

    # -- for trainings -------------------------------------------------------------------------------------------------

    def locator(self, dataset: Dataset) -> Locate:
        """Return a function that locates an item's file in a registered directory.

        It raises DatasetChanged if the file is not that of the version any more.
        """
        find = self.finder(dataset)
        return lambda item: find(item.sha256, item.path)

    def path_of(self, dataset: Dataset, item: ManifestItem) -> Path:
        """Return the path of an item's file in a registered directory. Raises DatasetChanged."""
        file, root = self._files.find(dataset.serial, item.path), Path(dataset.directory or "")
        if file is not None and file.sha256 == item.sha256 and is_still(root, file):
            return root / file.path
        return self.finder(dataset)(item.sha256, item.path)

    def finder(self, dataset: Dataset) -> Callable[[str, str], Path]:
        """Return a function that finds a file by content, whatever its name is now.

        The function raises DatasetChanged if no file has the content.
        """
        root, by_hash = Path(dataset.directory or ""), defaultdict[str, list[RegisteredFile]](list)
        for file in self._files.of(dataset.serial).values():
            by_hash[file.sha256].append(file)

        def find(sha256: str, shown: str) -> Path:
            known = by_hash.get(sha256, ())
            for file in known:
                if is_still(root, file):
                    return root / file.path
            name = known[0].path if known and shown == sha256 else shown
            raise DatasetChanged(
                f"{name} in {root} has changed or was deleted since this version: "
                f"POST /datasets/{dataset.name}/refresh "
                "makes a version of the current files."
            )

        return find


def _as_edited(
    found: Sequence[ManifestItem], known: Mapping[str, RegisteredFile], latest: Iterable[ManifestItem]
) -> list[ManifestItem]:
    """Return the items of a directory with the edits of the newest version.

    Excluded items stay excluded. A file that was read before and is not an item was removed by a user; it is left out
    as long as the file exists.
    """
    before = {item.path: item for item in latest}
    items = list[ManifestItem]()
    for item in found:
        old, file = before.get(item.path), known.get(item.path)
        if old is not None:
            items.append(replace(item, excluded=old.excluded))
        elif file is None or file.sha256 == UNREAD:
            items.append(item)
    if not items:
        raise BadArchive("contains only files that were removed from the dataset")
    return items


def _describe(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror or error}"
    if isinstance(error, Invalid):
        return " ".join(f"{mistake.message} {mistake.remedy or ''}".strip() for mistake in error.mistakes[:EXAMPLES])
    if isinstance(error, BadArchive):
        return f"{error.entry or 'it'} {error.reason}"
    return str(error)
