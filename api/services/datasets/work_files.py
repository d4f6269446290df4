"""The files that a program works on, laid out in its task's directory: the settings, the items, their sources."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import orjson

from api.models.dataset import ManifestItem
from api.storage.blobs import BlobStore
from api.storage.task_files import TaskFiles
from api.utils.foreign_files import make_directory

#: Puts a stored file under a path. Raises BlobMissing, OSError.
LinkSource = Callable[[str, Path], None]

#: What the program writes into, and reads; its user may be another one than the service's.
_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644


def link_stored(blobs: BlobStore) -> LinkSource:
    """Sources that are blobs: hard links, which nobody can write to."""

    def link(sha256: str, target: Path) -> None:
        blobs.link_into(sha256, target, may_symlink=False)

    return link


def lay_out_work(
    files: TaskFiles, settings: object, lines: Iterable[bytes], sources: Iterable[str], link: LinkSource
) -> None:
    """Makes the directory of work of a new task. Raises BlobMissing, OSError."""
    make_directory(str(files.output), 2)
    (files.output / "sources").mkdir(mode=_DIRECTORY_MODE)
    (files.output / "sources").chmod(_DIRECTORY_MODE)
    for sha256 in dict.fromkeys(sources):
        with suppress(FileExistsError):
            link(sha256, files.output / "sources" / sha256)
    _write(files.output / "settings.json", [orjson.dumps(settings)])
    _write(files.output / "items.jsonl", lines)


def _write(path: Path, parts: Iterable[bytes]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    with os.fdopen(handle, "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fchmod(file.fileno(), _FILE_MODE)
        os.fsync(file.fileno())


def sources_of(items: Sequence[ManifestItem]) -> list[str]:
    """The hashes of all files of these items."""
    return [sha256 for item in items for sha256 in item.blobs]
