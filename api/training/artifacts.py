"""The files that a training made: listed, and opened so that nothing outside of its directory can be reached."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from api.errors import ArtifactNotFound
from api.training.download_names import name_download, natural
from api.training.views import Artifact
from api.util.clock import time_of
from api.util.foreign_files import open_directory, open_plain_at
from api.util.foreign_trees import walk

#: The most files listed; a run of weeks with a checkpoint an hour stays far below.
MAX_FILES = 50_000

#: The most directory entries looked at for the list, directories and hidden ones included.
MAX_ENTRIES = 200_000

#: Parts of a path entered without following a link: the output directory and the task's own.
_OUTPUT_LEVELS = 2

_SIGNAL_FILES = frozenset({"save", "save_quit"})


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file that is open for reading; the one who takes it closes it."""

    descriptor: int
    name: str
    size: int
    modified_at: float


def list_artifacts(root: Path, complete: Mapping[str, bool], task: str) -> list[Artifact]:
    """Every file under the output directory, by path. `complete`: of each checkpoint, by name, whether it is. `task`
    is what downloads are named after.
    """
    below = walk(str(root), _OUTPUT_LEVELS, MAX_ENTRIES)
    shown = ((PurePosixPath(path), status) for path, status in below if not _is_hidden(path.rsplit("/", 1)[-1]))
    found = [_describe(path, status, complete, task) for path, status in islice(shown, MAX_FILES)]
    return sorted(found, key=lambda artifact: natural(artifact.path))


def newest_first(files: Iterable[Artifact]) -> list[Artifact]:
    """The files sorted by time, newest first; those of one moment by path, backwards."""
    return sorted(files, key=lambda file: (file.modified_at, natural(file.path)), reverse=True)


def _is_hidden(name: str) -> bool:
    # Notes of the service, and files that are being written.
    return name.startswith(".") or name in _SIGNAL_FILES


def _shown(name: str) -> str:
    """A file's name as an answer can hold it: a replacement character stands for what is not UTF-8."""
    return os.fsencode(name).decode(errors="replace")


def _describe(path: PurePosixPath, entry: os.stat_result, complete: Mapping[str, bool], task: str) -> Artifact:
    checkpoint = next((part for part in path.parts if part.startswith("global_step")), None)
    return Artifact(
        path=_shown(str(path)),
        download_name=name_download(task, _shown(str(path))),
        kind=_kind(path),
        size_bytes=entry.st_size,
        modified_at=time_of(entry.st_mtime),
        is_complete=checkpoint is None or complete.get(checkpoint, False),
    )


def is_checkpoint_state(path: str) -> bool:
    """Whether a file is of a checkpoint, by its path: the state by which its trainer goes on, and no model."""
    named = PurePosixPath(path)
    return any(part.startswith("global_step") for part in named.parts) or named.name == "latest"


def _kind(path: PurePosixPath) -> str:
    if is_checkpoint_state(str(path)):
        return "checkpoint"
    if path.suffix in (".png", ".jpg", ".jpeg", ".webp", ".mp4", ".gif"):
        return "sample"
    if path.suffix == ".safetensors" or path.name == "adapter_config.json":
        return "model"
    if path.name.startswith("events.out.tfevents"):
        return "events"
    return "config" if path.suffix == ".toml" else "other"


def open_artifact(root: Path, path: str, task: str) -> OpenFile:
    """Opens a file by its path below the root, following no link; `task` is the name that its download begins with.

    Raises ArtifactNotFound.
    """
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ArtifactNotFound
    try:
        descriptor = _open_below(root, parts)
    except OSError:
        raise ArtifactNotFound from None
    status = os.fstat(descriptor)
    return OpenFile(descriptor, name_download(task, path), status.st_size, status.st_mtime)


def _open_below(root: Path, parts: list[str]) -> int:
    # One directory after the other, each without following a link: no name can lead out, not even one that is
    # exchanged meanwhile.
    directory = open_directory(str(root), _OUTPUT_LEVELS)
    try:
        for part in parts[:-1]:
            below = os.open(_real(directory, part), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = below
        return open_plain_at(directory, _real(directory, parts[-1]))
    finally:
        os.close(directory)


def _real(directory: int, shown: str) -> str:
    """The real name of the file that is shown like this: with a replacement character it may be any name like it."""
    if "\N{REPLACEMENT CHARACTER}" not in shown:
        return shown
    with os.scandir(directory) as entries:
        return next((entry.name for entry in islice(entries, MAX_ENTRIES) if _shown(entry.name) == shown), shown)
