"""The files of a training's output directory: listed, and opened without reaching anything outside."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from api.errors import ArtifactNotFound
from api.training.views import Artifact
from api.util.clock import time_of
from api.util.files.foreign_files import open_directory, open_plain_at
from api.util.files.foreign_trees import walk

#: Limit of listed files. A run of weeks with a checkpoint per hour stays far below.
MAX_FILES = 50_000

#: Limit of examined directory entries, including directories and hidden files.
MAX_ENTRIES = 200_000

#: Path levels to enter without following links: the task's directory and its output directory.
_OUTPUT_LEVELS = 2

_SIGNAL_FILES = frozenset({"save", "save_quit"})

#: Limit of characters taken from a task's name.
MAX_NAME = 80

_SAVED = re.compile(r"(epoch|step)(\d{1,12})", re.ASCII)
_UNFIT = re.compile(r"[^\w.]+")

#: Names that only say that the file is a model.
_PLAIN = frozenset({"adapter_model", "pytorch_lora_weights", "lora", "model", "diffusion_pytorch_model"})


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file open for reading. The recipient closes it."""

    descriptor: int
    name: str
    size: int
    modified_at: float

    def read(self, offset: int, limit: int) -> bytes:
        """Return up to `limit` bytes from an offset. Raise OSError."""
        return os.pread(self.descriptor, limit, offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def list_artifacts(root: Path, complete: Mapping[str, bool], task: str) -> list[Artifact]:
    """Return every file in the output directory, by path.

    `complete` says for each checkpoint, by name, whether it is complete. `task` is the prefix of download names.
    """
    below = walk(str(root), _OUTPUT_LEVELS, MAX_ENTRIES)
    shown = ((PurePosixPath(path), status) for path, status in below if not _is_hidden(path))
    found = [_describe(path, status, complete, task) for path, status in islice(shown, MAX_FILES)]
    return sorted(found, key=lambda artifact: natural(artifact.path))


def saved_at(artifact: str) -> tuple[str | None, int | None]:
    """Return `epoch` or `step` and its number, from the path or name of a saved model; None for any other file."""
    found = next((match for part in artifact.split("/") if (match := _SAVED.fullmatch(part))), None)
    return (None, None) if found is None else (found[1], int(found[2]))


def saved_models(root: Path) -> dict[str, str]:
    """Return the paths of the saved models of one file each, by name (epoch2), oldest first. Raise OSError.

    Of several run directories, the newest that has a model of this name counts.
    """
    found: dict[str, Artifact] = {}
    # By path, so that the newest run directory comes last: its name is a time.
    for file in list_artifacts(root, {}, ""):
        parts = file.path.split("/")
        if len(parts) == 3 and parts[2].endswith(".safetensors") and _SAVED.fullmatch(parts[1]):
            found[parts[1]] = file
    by_age = sorted(found.items(), key=lambda each: (each[1].modified_at, natural(each[0])))
    return {name: file.path for name, file in by_age}


def saved_name(path: str) -> str | None:
    """Return the name of the saved model (epoch2) to which a file of weights belongs; None for any other file."""
    parts = path.split("/")
    is_saved = len(parts) > 1 and parts[-1].endswith(".safetensors") and _SAVED.fullmatch(parts[-2])
    return parts[-2] if is_saved and not is_checkpoint_state(path) else None


def newest_first(files: Iterable[Artifact]) -> list[Artifact]:
    """Return the files sorted by time, newest first, then by descending path."""
    return sorted(files, key=lambda file: (file.modified_at, natural(file.path)), reverse=True)


def _is_hidden(path: str) -> bool:
    # Files of the service itself, and files that are being written.
    return path.startswith(".") or "/." in path or path.rsplit("/", 1)[-1] in _SIGNAL_FILES


def _shown(name: str) -> str:
    """Return a file name as valid UTF-8, with replacement characters."""
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
    """Return whether a path belongs to a checkpoint, which is training state and not a model."""
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
    """Open a file by its path below the root, without following links. Raise ArtifactNotFound.

    `task` is the prefix of the download name.
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
    # Opens one directory after another without following links. So no path leads outside, even if it changes at the
    # same time.
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
    """Return the file name that is displayed as `shown`. A replacement character matches any character."""
    if "\N{REPLACEMENT CHARACTER}" not in shown:
        return shown
    with os.scandir(directory) as entries:
        return next((entry.name for entry in islice(entries, MAX_ENTRIES) if _shown(entry.name) == shown), shown)


# -- names of downloads ----------------------------------------------------------------------------------------


def name_download(task: str, path: str) -> str:
    """Return `<task>-epoch12.safetensors` for a saved model, and the file's own name for any other file."""
    *directories, name = path.split("/")
    stem, dot, suffix = name.rpartition(".")
    saved = directories[-1] if directories else ""
    if not dot or suffix != "safetensors" or _SAVED.fullmatch(saved) is None:
        return name
    parts = [_fit(task) or "model", saved, *([] if stem in _PLAIN else [_fit(stem)])]
    return "-".join(filter(None, parts)) + f".{suffix}"


def _fit(text: str) -> str:
    """Return the text with only characters that are safe in file names."""
    return _UNFIT.sub("-", text).strip("-._")[:MAX_NAME].strip("-._")


def natural(path: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key by which `epoch2` comes before `epoch10`."""
    parts = re.split(r"(\d{1,18})", path, flags=re.ASCII)
    return tuple((int(part), "") if n % 2 else (-1, part) for n, part in enumerate(parts))
