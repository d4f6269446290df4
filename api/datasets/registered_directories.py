"""Directories on the server that are datasets in place: only read, looked at again and again, and hashed when they have
changed.
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
from api.datasets.directory_files import EXAMPLES, compare, first_of, is_still, list_directory
from api.datasets.directory_hashing import UNREAD, DirectoryHashing
from api.datasets.materials import Locate
from api.datasets.registered_files import RegisteredFile, RegisteredFileStore
from api.datasets.service import DatasetService
from api.datasets.store import DatasetStore
from api.datasets.views import DatasetDetails, DatasetRow
from api.domain.access import Principal
from api.domain.audit import SERVICE
from api.domain.dataset import Dataset, DirectoryWatch, ManifestItem, WatchState
from api.domain.sight import current_sight
from api.errors import (
    Conflict,
    DatabaseUnavailable,
    DatasetChanged,
    Invalid,
    Mistake,
    ServiceError,
)
from api.files.archives.limits import BadArchive
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two looks at all registered directories.
LOOK_SECONDS = 60.0

#: Seconds for which one directory is read before it is another's turn, and between two words on how far it is.
TURN_SECONDS = 1.0
TELL_SECONDS = 2.0

#: How often a version is offered beside edits of its items.
_TRIES = 3

#: A reading of which nothing was heard for so long has ended with its server: whoever looks next takes it up.
_ABANDONED_SECONDS = 3 * LOOK_SECONDS


@dataclass(slots=True)
class _Begun:
    """A directory that is being read."""

    dataset: Dataset
    actor: str
    reading: DirectoryHashing
    told_at: float = 0.0  #: monotonic


class RegisteredDirectories:
    """Registers directories, and watches them by a thread of its own."""

    def __init__(
        self,
        service: DatasetService,
        store: DatasetStore,
        files: RegisteredFileStore,
        roots: Sequence[Path],
        clock: Clock,
        paths: ReadablePaths | None = None,
    ) -> None:
        """`roots` are the directories below which others may be registered. `paths` None: all of them may be read."""
        self._paths = paths
        self._service = service
        self._store = store
        self._files = files
        self._roots = tuple(root.resolve() for root in roots)
        self._clock = clock
        self._lock = threading.Lock()
        self._wanted: dict[int, str] = {}  #: whose files are to be read again, and who asked for it
        self._begun: dict[int, _Begun] = {}  #: of the reader's thread alone
        self._is_ending = threading.Event()
        self._watcher = PeriodicThread("dataset-watch", LOOK_SECONDS, self.look_once)
        self._reader = PeriodicThread("dataset-reader", None, self.read_once)

    def start(self) -> None:
        """Starts to watch."""
        self._watcher.start()
        self._reader.start()

    def stop(self) -> None:
        """Stops watching; a look at a file system that hangs is left behind."""
        self._is_ending.set()
        self._watcher.stop(timeout=0.5)
        self._reader.stop(timeout=0.5)

    # -- asked for -----------------------------------------------------------------------------------------------------

    def create(self, name: str, principal: Principal, fields: Mapping[str, Any]) -> DatasetRow:
        """Makes a dataset: an empty one, or one of a directory, which is read soon. Raises Invalid, DatasetExists."""
        directory = fields.get("directory")
        if directory is None:
            return self._service.create(name, principal, fields)
        place = self._require_allowed(directory)
        made = self._service.make(name, principal.owner, {**fields, "directory": str(place)})
        self._want(made, principal.actor)
        return DatasetRow.of(self._store.get(name))

    def refresh(self, name: str, actor: str) -> DatasetDetails:
        """Has a registered directory read again soon. Raises DatasetNotFound, Conflict."""
        dataset = self._service.find(name)
        if dataset.directory is None:
            raise Conflict(f"{name} is no directory on the server: upload into it.")
        self._want(dataset, actor)
        return self._service.get(name)

    def _want(self, dataset: Dataset, actor: str, *, is_told: bool = True) -> None:
        with self._lock:
            self._wanted[dataset.serial] = actor
        if is_told:
            self._store.note_watch(dataset.serial, DirectoryWatch(WatchState.READING, self._clock.now()))
        self._reader.trigger()

    def _require_allowed(self, directory: str) -> Path:
        """The real path of a directory that may be registered. Raises Invalid for any other."""
        place = Path(directory)
        what, remedy = None, "Name one below a directory of DATASET_DIRECTORIES that is no other user's."
        try:
            real = place.resolve()
            if not place.is_absolute():
                what, remedy = "The path is not absolute.", "Begin it with `/`."
            elif not any(real.is_relative_to(root) for root in self._roots) or not self._may_read(real):
                what = "No directory may be registered here." if not self._roots else "This directory is not permitted."
            elif not real.is_dir():
                what, remedy = "There is no such directory.", "Correct the path."
        except (OSError, ValueError, RuntimeError) as error:
            what, remedy = f"The path cannot be looked at: {error}.", "Correct the path."
        if what is not None:
            raise Invalid(mistakes=[Mistake("/directory", what, remedy)])
        return real

    def _may_read(self, real: Path) -> bool:
        sight = current_sight.get()
        # What one user registers others cannot use: nobody takes a directory that everybody shares.
        if not sight.sees_all and any(root.is_relative_to(real) for root in self._roots):
            return False
        return self._paths is None or self._paths.may_register(real, sight)

    # -- watching ------------------------------------------------------------------------------------------------------

    def look_once(self) -> None:
        """A look at every registered directory that is not being read; one without a version is to be read."""
        try:
            for dataset in self._store.registered():
                if self._is_to_be_read(dataset):
                    self._want(dataset, SERVICE, is_told=False)
                elif dataset.watch is None or dataset.watch.state is not WatchState.READING:
                    self._look(dataset)
        except DatabaseUnavailable as error:
            logger.debug("registered directories cannot be looked at", extra={"problem": error.detail})

    def _is_to_be_read(self, dataset: Dataset) -> bool:
        with self._lock:
            if dataset.serial in self._wanted or dataset.serial in self._begun:
                return False
        if dataset.watch is None or dataset.watch.state is not WatchState.READING:
            return dataset.latest is None
        return abs((self._clock.now() - dataset.watch.checked_at).total_seconds()) >= _ABANDONED_SECONDS

    def _look(self, dataset: Dataset) -> None:
        now = self._clock.now()
        try:
            watch = compare(list_directory(dataset.directory or ""), self._files.of(dataset.serial), dataset.watch, now)
        except OSError as error:
            watch = DirectoryWatch(WatchState.GONE, now, problem=_tell(error))
        if dataset.watch is None or replace(dataset.watch, checked_at=now) != watch:
            self._store.note_watch(dataset.serial, watch)

    # -- reading -------------------------------------------------------------------------------------------------------

    def read_once(self) -> None:
        """A turn for each directory that is to be read: what is left of it then waits for the others."""
        try:
            self._begin_wanted()
            for serial, begun in list(self._begun.items()):
                if self._is_ending.is_set():
                    return
                self._take_turn(serial, begun)
        except DatabaseUnavailable as error:
            logger.debug("registered directories cannot be read", extra={"problem": error.detail})
            self._is_ending.wait(TURN_SECONDS)
        with self._lock:
            is_more = bool(self._begun or self._wanted)
        if is_more:
            self._reader.trigger()

    def _begin_wanted(self) -> None:
        with self._lock:
            wanted = {serial: actor for serial, actor in self._wanted.items() if serial not in self._begun}
        for serial, actor in wanted.items():
            dataset = self._store.get_by_serial(serial)
            if dataset is not None:
                self._begin(dataset, actor)
            with self._lock:
                self._wanted.pop(serial, None)

    def _begin(self, dataset: Dataset, actor: str) -> None:
        try:
            known, root = self._files.of(dataset.serial), dataset.directory or ""
            reading = DirectoryHashing(Path(root), list_directory(root), known, self._is_ending.is_set)
        except (OSError, BadArchive) as error:
            self._note_gone(dataset, error)
            return
        with self._lock:
            self._begun[dataset.serial] = _Begun(dataset, actor, reading)

    def _take_turn(self, serial: int, begun: _Begun) -> None:
        try:
            is_there = self._tell_how_far(begun)
            if is_there and not begun.reading.go_on(TURN_SECONDS):
                return
            if is_there:
                self._finish(begun)
        except DatabaseUnavailable:
            raise
        except DatasetChanged:
            self._look(begun.dataset)  # another server has read it meanwhile
        except (OSError, BadArchive, ServiceError) as error:
            self._note_gone(begun.dataset, error)
        begun.reading.close()
        with self._lock:
            del self._begun[serial]

    def _tell_how_far(self, begun: _Begun) -> bool:
        """Says how much is read, now and then; False for a dataset that was deleted meanwhile."""
        if time.monotonic() - begun.told_at < TELL_SECONDS:
            return True
        reading, now = begun.reading, self._clock.now()
        watch = DirectoryWatch(WatchState.READING, now, read_bytes=reading.read_bytes, total_bytes=reading.total_bytes)
        begun.told_at = time.monotonic()
        return self._store.note_watch(begun.dataset.serial, watch)

    def _finish(self, begun: _Begun) -> None:
        """Makes a version of what was read. Raises OSError, BadArchive, ServiceError."""
        dataset, found, listing = begun.dataset, begun.reading.finish(), begun.reading.listing
        for _ in range(_TRIES - 1):
            # Another version since then is an edit of items, or of another server that has read the directory.
            with suppress(DatasetChanged):
                self._add_version(begun, found.items)
                break
        else:
            self._add_version(begun, found.items)
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

    def _add_version(self, begun: _Begun, items: Sequence[ManifestItem]) -> None:
        serial, directory = begun.dataset.serial, begun.dataset.directory
        named = self._store.get_by_serial(serial) or begun.dataset  # it may have another name by now
        if named.latest is not None:
            latest = self._service.find_version(named)
            items = _as_edited(items, self._files.of(serial), self._service.read_items(latest.manifest_sha256))
        self._service.add_version(
            named,
            items,
            begun.actor,
            f"read from {directory}",
            expected_latest=named.latest,
            origin={"directory": directory},
        )

    def _note_gone(self, dataset: Dataset, error: Exception) -> None:
        self._store.note_watch(dataset.serial, DirectoryWatch(WatchState.GONE, self._clock.now(), problem=_tell(error)))

    # -- for trainings -------------------------------------------------------------------------------------------------

    def locator(self, dataset: Dataset) -> Locate:
        """Tells where a registered directory's own files lie. What it gives raises DatasetChanged for a file that is no
        longer the one of the version.
        """
        find = self.finder(dataset)
        return lambda item: find(item.sha256, item.path)

    def path_of(self, dataset: Dataset, item: ManifestItem) -> Path:
        """Where an item's file lies in a registered directory. Raises DatasetChanged."""
        file, root = self._files.find(dataset.serial, item.path), Path(dataset.directory or "")
        if file is not None and file.sha256 == item.sha256 and is_still(root, file):
            return root / file.path
        return self.finder(dataset)(item.sha256, item.path)

    def finder(self, dataset: Dataset) -> Callable[[str, str], Path]:
        """Gives the path of a file with this content, whatever its name is now; raises DatasetChanged without one."""
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
                f"{name} in {root} is no longer the file of this version: POST /datasets/{dataset.name}/refresh makes "
                "a version of what is there now."
            )

        return find


def _as_edited(
    found: Sequence[ManifestItem], known: Mapping[str, RegisteredFile], latest: Iterable[ManifestItem]
) -> list[ManifestItem]:
    """Return the items of a directory as people have edited the newest version.

    What they excluded stays excluded. A file that was read before and is no item was removed, and stays so while it is
    there.
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
        raise BadArchive("holds only files that were removed from the dataset")
    return items


def _tell(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror or error}"
    if isinstance(error, Invalid):
        return " ".join(f"{mistake.message} {mistake.remedy or ''}".strip() for mistake in error.mistakes[:EXAMPLES])
    if isinstance(error, BadArchive):
        return f"{error.entry or 'it'} {error.reason}"
    return str(error)
