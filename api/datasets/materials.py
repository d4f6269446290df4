"""Dataset versions as directories: a read-only view for checks, and a separate directory for each task.

Files are hard links to blobs, which only the service can write. Whatever a trainer does in its directory (delete
names, write caches) affects neither a version nor another task.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import orjson

from api.datasets.records.dataset_store import DatasetStore
from api.datasets.service import DatasetService
from api.domain.datasets.dataset import Dataset, ManifestItem, PinnedDataset, included_items
from api.errors import BlobMissing, DatasetNotFound
from api.files.blobs import BlobStore
from api.util.files.foreign_files import make_directory
from api.util.files.foreign_trees import remove_tree

#: Directory of the trainer's cache; retained between attempts.
CACHE = "cache"

#: Size limit of captions.json; above it, text files are written instead.
_MOST_JSON_BYTES = 16 * 1024 * 1024

#: Longest file name in bytes, with space for suffixes.
_LONGEST_NAME = 200
_LONGEST_SUFFIX = 16

#: Returns the path of an item's file in a registered directory. Raises DatasetChanged.
Locate = Callable[[ManifestItem], Path]


@dataclass(frozen=True, slots=True)
class VersionLayout:
    """The directories of a version; None for kinds of files that it does not have."""

    media: Path
    masks: Path | None
    controls: Path | None

    def moved_to(self, other: "VersionLayout") -> Iterator[tuple[str, str]]:
        """Yield each path of this layout with the matching path of the other."""
        for here, there in ((self.masks, other.masks), (self.controls, other.controls), (self.media, other.media)):
            if here is not None and there is not None:
                yield str(here), str(there)


class DatasetDirectories:
    """Makes directories of versions."""

    def __init__(
        self,
        service: DatasetService,
        store: DatasetStore,
        blobs: BlobStore,
        locate_registered: Callable[[Dataset], Locate] | None = None,
        trainers_group: int | None = None,
    ) -> None:
        """`locate_registered` locates the files of a registered directory.

        `trainers_group` is the group of the user that trainers run as, if that is not the service's user.
        """
        self._service = service
        self._store = store
        self._blobs = blobs
        self._locate_registered = locate_registered
        self._group = trainers_group

    @property
    def root(self) -> Path:
        """The directory with all files of datasets."""
        return self._blobs.root

    @property
    def views(self) -> Path:
        """The directory with one view for each manifest."""
        return self._blobs.root / "views"

    def view(self, pin: PinnedDataset) -> VersionLayout:
        """Return a read-only view of a version; create it on first use. Raises BlobMissing, DatasetChanged, OSError."""
        items = included_items(self._service.read_items(pin.manifest_sha256))
        locate = self._locator_of(pin)
        root = self.views / _view_name(pin, items, locate)
        if not root.is_dir():
            make_directory(str(self.views), 1)
            new = self.views / f".{root.name}.{secrets.token_hex(8)}"
            try:
                self._fill(items, locate, new)
                with suppress(OSError):  # another caller was first
                    os.rename(new, root)
            finally:
                remove_tree(str(new), levels=1)
        os.utime(root)  # unused views are removed after a while
        return _layout(root)

    def layout_for(self, above: Path, pin: PinnedDataset, like: VersionLayout) -> VersionLayout:
        """Return the future layout of a version in a task's directory; it has the same kinds of files as `like`."""
        root = above / _label(pin)
        return VersionLayout(
            root / "media",
            None if like.masks is None else root / "masks",
            None if like.controls is None else root / "controls",
        )

    def lay_out(self, above: Path, pin: PinnedDataset, *, is_new: bool) -> VersionLayout:
        """Return the directories of a version for one task.

        With `is_new` they are created again, and the trainer's cache of the earlier ones is moved there. Raises
        BlobMissing, DatasetChanged, OSError.
        """
        root = above / _label(pin)
        if not is_new:
            return _layout(root)
        make_directory(str(above), 2)
        self._remove_leftovers(above)
        new, old = (above / f".{root.name}.{what}.{secrets.token_hex(8)}" for what in ("new", "old"))
        items = included_items(self._service.read_items(pin.manifest_sha256))
        self._fill(items, self._locator_of(pin), new)
        self._open_to_trainers(above, new)
        with suppress(FileNotFoundError):
            os.rename(root, old)
        # Move only a real directory, not a link or anything else that a trainer has put there.
        with suppress(OSError):
            if (old / "media" / CACHE).lstat().st_mode & 0o170000 == 0o040000:
                os.rename(old / "media" / CACHE, new / "media" / CACHE)
        os.rename(new, root)
        remove_tree(str(old), levels=2)
        return _layout(root)

    def has_cache(self, above: Path, pin: PinnedDataset) -> bool:
        """Return whether a version is laid out there with a trainer's cache that other tasks can reach."""
        # Trainers with their own user cannot enter the directories of other tasks.
        return self._group is None and (above / _label(pin) / "media" / CACHE).is_dir()

    @staticmethod
    def _remove_leftovers(above: Path) -> None:
        """Remove what killed attempts left while they were being prepared."""
        for name in os.listdir(above):
            if name.startswith("."):
                remove_tree(str(above / name), levels=2)

    def _open_to_trainers(self, above: Path, root: Path) -> None:
        if self._group is None:
            return
        for directory in (above, root, *(path for path in root.iterdir() if path.is_dir())):
            os.chown(directory, -1, self._group)
            directory.chmod(0o2770 if directory.parent == root else 0o2750)
        for name in ("captions.json", *(path.name for path in (root / "media").glob("*.txt"))):
            with suppress(FileNotFoundError):
                os.chown(root / "media" / name, -1, self._group)
                (root / "media" / name).chmod(0o640)

    def _fill(self, items: Sequence[ManifestItem], locate: Locate | None, root: Path) -> None:
        names = flat_names(items)
        make_directory(str(root), 2)
        (root / "media").mkdir(mode=0o700)
        for item in items:
            name = names[item.path]
            self._link(item, locate, root / "media" / name)
            for part, beside in _beside(item):
                (root / part).mkdir(mode=0o700, exist_ok=True)
                self._link(beside, locate, root / part / f"{PurePosixPath(name).stem}.png")
        _write_captions(items, names, root / "media")

    def _locator_of(self, pin: PinnedDataset) -> Locate | None:
        """Return the function that locates files of a registered directory; None for blobs. Raises DatasetNotFound."""
        dataset = self._store.get_by_serial(pin.serial)
        if dataset is None:
            raise DatasetNotFound(f"{pin.dataset} was deleted.")
        if dataset.directory is None or self._locate_registered is None:
            return None
        return self._locate_registered(dataset)

    def _link(self, item: ManifestItem, locate: Locate | None, target: Path) -> None:
        """Link the file of an item at this path. Raises BlobMissing, DatasetChanged, OSError."""
        if locate is not None:
            target.symlink_to(locate(item))
            return
        if item.size_bytes >= 0 and not self._blobs.is_intact(item.sha256, item.size_bytes):
            self._blobs.path(item.sha256)  # raises BlobMissing if it is missing
            if not self._blobs.is_intact(item.sha256, item.size_bytes):
                raise BlobMissing(
                    f"The stored file of {item.path} is damaged: upload it again.", data={"sha256": item.sha256}
                )
        self._blobs.link_into(item.sha256, target, may_symlink=self._group is None)


def _beside(item: ManifestItem) -> Iterator[tuple[str, ManifestItem]]:
    """Yield the mask and control picture of an item with their directory, as items of unknown size."""
    for part, sha256 in (("masks", item.mask_sha256), ("controls", item.control_sha256)):
        if sha256 is not None:
            yield part, ManifestItem(item.path, sha256, -1)


def _view_name(pin: PinnedDataset, items: Sequence[ManifestItem], locate: Locate | None) -> str:
    """Return the name of a view; for registered directories it includes a hash of the paths. Raises DatasetChanged."""
    if locate is None:
        return pin.manifest_sha256
    paths = hashlib.sha256()
    for item in items:
        for each in (item, *(beside for _, beside in _beside(item))):
            paths.update(f"{locate(each)}\0".encode(errors="surrogateescape"))
    return f"{pin.manifest_sha256}.{paths.hexdigest()[:16]}"


def _layout(root: Path) -> VersionLayout:
    masks, controls = root / "masks", root / "controls"
    return VersionLayout(root / "media", masks if masks.is_dir() else None, controls if controls.is_dir() else None)


def _label(pin: PinnedDataset) -> str:
    """Return the name of a task's directory for this version: readable, and the same for every attempt."""
    return f"{pin.dataset}-{pin.manifest_sha256[:16]}"


def flat_names(items: Sequence[ManifestItem]) -> dict[str, str]:
    """Return a file name for each item path, for the one directory that the trainer reads.

    No two names have the same stem, ignoring case, so that captions, masks and controls match one item.
    """
    names: dict[str, str] = {}
    used = {CACHE, "captions"}
    for item in items:
        path = PurePosixPath(item.path)
        stem, suffix = "__".join((*path.parent.parts, path.stem)), path.suffix
        if len(suffix) > _LONGEST_SUFFIX:
            suffix = ""
        if len((stem + suffix).encode()) > _LONGEST_NAME or stem.startswith(".") or stem.casefold() in used:
            short = stem.encode()[: _LONGEST_NAME // 2].decode(errors="ignore").lstrip(".")
            stem = f"{short}-{item.item_id}"
        used.add(stem.casefold())
        names[item.path] = stem + suffix
    return names


def _write_captions(items: Sequence[ManifestItem], names: dict[str, str], directory: Path) -> None:
    captions = {names[item.path]: [item.caption] for item in items if item.caption is not None}
    text = orjson.dumps(captions)
    if len(text) <= _MOST_JSON_BYTES:
        _write(directory / "captions.json", text)
        return
    for item in items:
        if item.caption is not None:
            _write(directory / f"{PurePosixPath(names[item.path]).stem}.txt", item.caption.encode())


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
