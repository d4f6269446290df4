"""Directories on the server that are datasets in place: only read, looked at again and again, and hashed when they have
changed.
"""

import errno
import hashlib
import logging
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from api.archives.limits import BadArchive
from api.errors import (
    Conflict,
    DatabaseUnavailable,
    DatasetChanged,
    Invalid,
    Mistake,
    ServiceError,
)
from api.models.access import Principal
from api.models.audit import SERVICE
from api.models.dataset import MAX_ITEMS, Dataset, DirectoryWatch, ManifestItem, WatchState
from api.models.dataset_view import DatasetDetails, DatasetRow
from api.services.datasets.materials import CACHE, Locate
from api.services.datasets.service import DatasetService
from api.services.datasets.tree import FileTree, TreeFile, sort_out, stem_of
from api.storage.datasets import DatasetStore
from api.storage.registered_files import RegisteredFile, RegisteredFileStore
from api.utils.clock import Clock
from api.utils.foreign_files import open_plain
from api.utils.foreign_trees import walk
from api.utils.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two looks at all registered directories.
LOOK_SECONDS = 60.0

#: Paths that a look names when something has changed.
_EXAMPLES = 10
_CHUNK = 1024 * 1024
_TRIES = 3

#: By their endings, as the trainer tells them: what else lies in somebody's directory is none of ours.
_MEDIA = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"}) | frozenset(
    {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}
)
_TEXTS = (".txt", "captions.json", "metadata.jsonl")


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file as a look finds it, without reading it."""

    size_bytes: int
    modified_ns: int
    inode: int

    def is_as(self, known: RegisteredFile | None) -> bool:
        """Whether it is the file that is known, as far as that can be told without reading it."""
        if known is None:
            return False
        return (self.size_bytes, self.modified_ns, self.inode) == (known.size_bytes, known.modified_ns, known.inode)


class RegisteredDirectories:
    """Registers directories, and watches them by a thread of its own."""

    def __init__(
        self,
        service: DatasetService,
        store: DatasetStore,
        files: RegisteredFileStore,
        roots: Sequence[Path],
        clock: Clock,
    ) -> None:
        """`roots` are the directories below which others may be registered."""
        self._service = service
        self._store = store
        self._files = files
        self._roots = tuple(root.resolve() for root in roots)
        self._clock = clock
        self._lock = threading.Lock()
        self._wanted: dict[int, str] = {}  #: whose files are to be read again, and who asked for it
        self._thread = PeriodicThread("dataset-watch", LOOK_SECONDS, self.run_once)

    def start(self) -> None:
        """Starts to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stops watching; a look at a file system that hangs is left behind."""
        self._thread.stop(timeout=0.5)

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

    def _want(self, dataset: Dataset, actor: str) -> None:
        with self._lock:
            self._wanted[dataset.serial] = actor
        self._store.note_watch(dataset.serial, DirectoryWatch(WatchState.READING, self._clock.now()))
        self._thread.trigger()

    def _require_allowed(self, directory: str) -> Path:
        """Raises Invalid."""
        place = Path(directory)
        what, remedy = None, "Name one below a directory of DATASET_DIRECTORIES."
        try:
            real = place.resolve()
            if not place.is_absolute():
                what, remedy = "The path is not absolute.", "Begin it with `/`."
            elif not any(real.is_relative_to(root) for root in self._roots):
                what = "No directory may be registered here." if not self._roots else "This directory is not permitted."
            elif not real.is_dir():
                what, remedy = "There is no such directory.", "Correct the path."
        except (OSError, ValueError, RuntimeError) as error:
            what, remedy = f"The path cannot be looked at: {error}.", "Correct the path."
        if what is not None:
            raise Invalid(mistakes=[Mistake("/directory", what, remedy)])
        return real

    # -- watching ------------------------------------------------------------------------------------------------------

    def run_once(self) -> None:
        """A look at every registered directory; those that were asked for, or have no version yet, are read."""
        try:
            for dataset in self._store.registered():
                with self._lock:
                    actor = self._wanted.pop(dataset.serial, None)
                try:
                    self._look(dataset, actor or (SERVICE if dataset.latest is None else None))
                except DatabaseUnavailable:
                    if actor is not None:
                        self._want(dataset, actor)
                    raise
        except DatabaseUnavailable as error:
            logger.debug("registered directories cannot be looked at", extra={"problem": error.detail})

    def _look(self, dataset: Dataset, reads_for: str | None) -> None:
        now = self._clock.now()
        try:
            seen = self._list(dataset)
            known = self._files.of(dataset.serial)
            if reads_for is not None:
                self._read(dataset, seen, known, reads_for)
                watch = DirectoryWatch(WatchState.SAME, now)
            else:
                watch = _compare(seen, known, now)
        except (OSError, BadArchive, ServiceError) as error:
            if isinstance(error, DatabaseUnavailable):
                raise
            watch = DirectoryWatch(WatchState.GONE, now, problem=_tell(error))
        if dataset.watch is None or replace(dataset.watch, checked_at=now) != watch or reads_for is not None:
            self._store.note_watch(dataset.serial, watch)

    def _list(self, dataset: Dataset) -> dict[str, _Seen]:
        """The files of a directory that can be of a dataset, but hidden ones and caches. Raises OSError."""
        root = dataset.directory or ""
        if os.path.realpath(root, strict=True) != root:
            # It was none when it was registered, and may lead to where nobody permitted.
            raise OSError(errno.ELOOP, "there is a link in its path now")
        found = {}
        for path, status in walk(root, 0, 2 * MAX_ITEMS):
            parts = path.split("/")
            is_ours = not any(part.startswith(".") or part == CACHE for part in parts)
            if is_ours and path.lower().endswith((*_MEDIA, *_TEXTS)):
                found[path] = _Seen(status.st_size, status.st_mtime_ns, status.st_ino)
        return found

    def _read(
        self, dataset: Dataset, seen: Mapping[str, _Seen], known: Mapping[str, RegisteredFile], actor: str
    ) -> None:
        """Reads what has changed, and makes a version of it all. Raises OSError, BadArchive, ServiceError."""
        root = Path(dataset.directory or "")
        files = [TreeFile(path, root / path, seen[path].size_bytes, path.count("/")) for path in sorted(seen)]
        tree = sort_out(files)
        if not any(_is_media(each.path) for each in tree.pictures):
            raise BadArchive("has no images or videos")
        hashed = dict(self._hash(root, seen, known))
        items = list(_make_items(tree, hashed))
        latest = self._store.get(dataset.name).latest
        self._service.add_version(
            dataset,
            items,
            actor,
            f"read from {dataset.directory}",
            expected_latest=latest,
            origin={"directory": dataset.directory},
        )
        self._files.replace(dataset.serial, hashed.values())

    def _hash(
        self, root: Path, seen: Mapping[str, _Seen], known: Mapping[str, RegisteredFile]
    ) -> Iterator[tuple[str, RegisteredFile]]:
        for path, found in seen.items():
            before = known.get(path)
            if before is not None and found.is_as(before):
                yield path, before
            else:
                yield path, _hash_file(root, path)

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
        if file is not None and file.sha256 == item.sha256 and _is_still(root, file):
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
                if _is_still(root, file):
                    return root / file.path
            name = known[0].path if known and shown == sha256 else shown
            raise DatasetChanged(
                f"{name} in {root} is no longer the file of this version: POST /datasets/{dataset.name}/refresh makes "
                "a version of what is there now."
            )

        return find


def _compare(seen: Mapping[str, _Seen], known: Mapping[str, RegisteredFile], now: Any) -> DirectoryWatch:
    added, removed = sorted(seen.keys() - known.keys()), sorted(known.keys() - seen.keys())
    changed = sorted(path for path in seen.keys() & known.keys() if not seen[path].is_as(known[path]))
    state = WatchState.CHANGED if added or removed or changed else WatchState.SAME
    examples = tuple([*changed, *added, *removed][:_EXAMPLES])
    return DirectoryWatch(state, now, len(added), len(removed), len(changed), examples)


def _make_items(tree: FileTree, hashed: Mapping[str, RegisteredFile]) -> Iterator[ManifestItem]:
    for each in tree.pictures:
        if not _is_media(each.path):
            continue
        stem = stem_of(each.path)
        mask, control = tree.masks.get(stem), tree.controls.get(stem)
        yield ManifestItem(
            each.path,
            hashed[each.path].sha256,
            hashed[each.path].size_bytes,
            tree.caption_of(each.path),
            None if mask is None else hashed[mask.path].sha256,
            None if control is None else hashed[control.path].sha256,
        )


def _is_media(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in _MEDIA


def _hash_file(root: Path, path: str) -> RegisteredFile:
    """Reads a file; again where it has changed meanwhile. Raises OSError when it goes on changing."""
    for _ in range(_TRIES):
        handle = open_plain(str(root / path), path.count("/"))
        try:
            before, digest = os.fstat(handle), hashlib.sha256()
            while part := os.read(handle, _CHUNK):
                digest.update(part)
            after = os.fstat(handle)
        finally:
            os.close(handle)
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            return RegisteredFile(path, after.st_size, after.st_mtime_ns, after.st_ino, digest.hexdigest())
    raise OSError(errno.EAGAIN, "it is being written to", path)


def _is_still(root: Path, file: RegisteredFile) -> bool:
    with suppress(OSError):
        status = (root / file.path).lstat()
        return _Seen(status.st_size, status.st_mtime_ns, status.st_ino).is_as(file)
    return False


def _tell(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror or error}"
    if isinstance(error, Invalid):
        return " ".join(f"{mistake.message} {mistake.remedy or ''}".strip() for mistake in error.mistakes[:_EXAMPLES])
    if isinstance(error, BadArchive):
        return f"{error.entry or 'it'} {error.reason}"
    return str(error)
