"""Write the input of a program into its task's directory: the settings, the items, their files."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import orjson

from api.datasets.items.media import RegisteredFiles
from api.domain.datasets.dataset import Dataset, ManifestItem
from api.errors import DatasetChanged
from api.files.blobs import BlobStore
from api.files.task_files import TaskFiles
from api.jobs.kinds import ITEMS_FILE
from api.util.files.foreign_files import make_directory

#: Links a stored file at a path. Raises BlobMissing, OSError.
LinkSource = Callable[[str, Path], None]

_CHUNK = 2**20

#: Modes of what the program reads and writes; it may run as another user than the service.
_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644


class SourceFiles:
    """Provides the files of datasets, from the blob store or from a registered directory."""

    def __init__(self, blobs: BlobStore, registered: RegisteredFiles | None = None) -> None:
        self._blobs = blobs
        self._registered = registered

    def linker(self, dataset: Dataset) -> LinkSource:
        """Return a function that links files of a dataset; blobs are hard-linked, and no user can write to them."""
        if dataset.directory is None or self._registered is None:
            return lambda sha256, target: self._blobs.link_into(sha256, target, may_symlink=False)
        find = self._registered.finder(dataset)
        return lambda sha256, target: target.symlink_to(find(sha256, sha256))

    def store(self, dataset: Dataset, item: ManifestItem) -> None:
        """Copy the files of an item into the blob store if they are only in a registered directory.

        Raises DatasetChanged, BlobMissing, OSError.
        """
        for sha256 in item.blobs:
            if dataset.directory is None or self._registered is None or self._blobs.has(sha256):
                continue
            path = self._registered.path_of(dataset, replace(item, sha256=sha256))
            with path.open("rb") as file, self._blobs.begin() as writer:
                while part := file.read(_CHUNK):
                    writer.write(part)
                if writer.commit().sha256 != sha256:
                    raise DatasetChanged(f"{path} changed while it was being read.")


def lay_out_work(
    files: TaskFiles, settings: object, lines: Iterable[bytes], sources: Iterable[str], link: LinkSource
) -> None:
    """Create the working directory of a new task. Raises BlobMissing, OSError."""
    make_directory(str(files.output), 2)
    (files.output / "sources").mkdir(mode=_DIRECTORY_MODE)
    (files.output / "sources").chmod(_DIRECTORY_MODE)
    for sha256 in dict.fromkeys(sources):
        with suppress(FileExistsError):
            link(sha256, files.output / "sources" / sha256)
    _write(files.output / "settings.json", [orjson.dumps(settings)])
    _write(files.output / ITEMS_FILE, lines)


def _write(path: Path, parts: Iterable[bytes]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    with os.fdopen(handle, "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fchmod(file.fileno(), _FILE_MODE)
        os.fsync(file.fileno())
