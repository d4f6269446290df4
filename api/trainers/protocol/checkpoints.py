"""The checkpoints in a run directory: which are complete, how to resume from one, and how to remove one."""

import hashlib
import json
import os
import pickletools
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOENT
from itertools import islice
from pathlib import Path
from typing import Any

from api.domain.tasks.training import Checkpoint, ResumePoint
from api.util.clock import time_of
from api.util.files.foreign_files import OWN_LEVELS, TROUBLE, open_directory, open_plain, read, remove, write
from api.util.files.foreign_trees import list_names, remove_tree, remove_tree_at, walk

_NAME = re.compile(r"global_step(\d{1,12})", re.ASCII)
#: Names of the directories of saved models.
SAVED_MODEL = re.compile(r"(?:epoch|step)\d{1,12}", re.ASCII)

LATEST = "latest"
SIGNAL_FILES = ("save", "save_quit")

#: The name of the directory of a checkpoint or saved model while it is being removed.
_REMOVED = re.compile(r"\.(?:global_step|epoch|step)\d{1,12}\.removed", re.ASCII)

#: The file of a checkpoint with the trainer's position in its dataset, the key of that, and limits of what is read.
_STATE_FILE = "mp_rank_00_model_states.pt"
_LOADER_STATE = b"custom_loader"
_STATE_BYTES, _LOADER_BYTES = 2**24, 200

#: Path components opened without following links; a checkpoint is one level below its run directory.
_CHECKPOINT_LEVELS = OWN_LEVELS + 1

#: Which checkpoints were complete when a resume began; from then on `latest` alone does not show it.
_VERDICTS_FILE = ".judged_checkpoints.json"


@dataclass(frozen=True, slots=True)
class _FoundCheckpoint:
    name: str
    step: int
    size_bytes: int
    written_at: float
    files: list[list[Any]]  #: name, size (bytes) and modification time of each; a rewritten checkpoint differs

    @property
    def digest(self) -> str:
        """A hash of the file list, which changes when the trainer rewrites the checkpoint."""
        return hashlib.sha256(json.dumps(self.files).encode()).hexdigest()


def list_checkpoints(run_dir: Path) -> tuple[Checkpoint, ...]:
    """Return every checkpoint, lowest step first.

    The trainer writes `latest` after all other files. So the checkpoint that it names is complete, and so are
    all with lower steps. A higher step is still being written, or its write was interrupted. A checkpoint
    judged at an earlier resume keeps that result until the trainer rewrites it.
    Raise OSError if the directory cannot be read.
    """
    found = _find(run_dir)
    latest = _latest(run_dir, found)
    verdicts = _read_verdicts(run_dir)
    return tuple(
        Checkpoint(
            name=one.name,
            step=one.step,
            size_bytes=one.size_bytes,
            created_at=time_of(one.written_at),
            is_complete=one.size_bytes > 0 and _is_complete(one, latest, verdicts),
            is_latest=one.name == latest,
        )
        for one in found
    )


def prepare_resume(run_dir: Path, checkpoint: str | None) -> None:
    """Make the trainer resume from a checkpoint, by default the one in `latest`.

    No trainer may run in the directory. Remove signal files and the remains of interrupted saves.
    Raise ValueError if the checkpoint is unknown or incomplete, or OSError.
    """
    checkpoints = list_checkpoints(run_dir)
    chosen = _choose(checkpoints, checkpoint)
    _remove_leftovers(run_dir)
    complete = {one.name for one in checkpoints if one.is_complete}
    verdicts = {one.name: {"whole": one.name in complete, "files": one.digest} for one in _find(run_dir)}
    write(str(run_dir / _VERDICTS_FILE), json.dumps(verdicts).encode())
    # The directory restricts access. A trainer with its own user is in the file's group, and rewrites the file.
    write(str(run_dir / LATEST), chosen.name.encode(), mode=0o660)


def find_resume_point(run_dir: Path, name: str) -> ResumePoint | None:
    """Return where the trainer continues after this checkpoint, or None if that cannot be read.

    The position is part of a pickle at the beginning of the file, which is searched for it without being loaded.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        content = _read_beginning(str(run_dir / name / _STATE_FILE))
    except OSError:
        return None
    at = content.find(_LOADER_STATE)
    numbers = [] if at < 0 else list(islice(_numbers(content[at + len(_LOADER_STATE) : at + _LOADER_BYTES]), 2))
    if len(numbers) < 2:
        return None
    epoch, pulled = numbers
    if epoch < 1 or pulled < 0:
        return None
    # The trainer has always read one step ahead, except at the end of an epoch.
    return ResumePoint(int(match[1]), epoch, pulled - 1)


def _read_beginning(path: str) -> bytes:
    with open(open_plain(path, _CHECKPOINT_LEVELS), "rb") as file:
        return file.read(_STATE_BYTES)


def _numbers(content: bytes) -> Iterator[int]:
    """Return the whole numbers in a part of a pickle, up to the first instruction that cannot be read."""
    with suppress(ValueError):
        for instruction, value, _ in pickletools.genops(content):
            if instruction.name in ("BININT", "BININT1", "BININT2") and isinstance(value, int):
                yield value


def hide(run_dir: Path, name: str) -> None:
    """Rename a checkpoint or saved model for deletion, so that no part of one has a valid name. Raise OSError."""
    if not _NAME.fullmatch(name) and not SAVED_MODEL.fullmatch(name):
        raise FileNotFoundError(ENOENT, "neither a checkpoint nor a saved model", name)
    directory, hidden = open_directory(str(run_dir)), f".{name}.removed"
    try:
        remove_tree_at(directory, hidden)
        os.rename(name, hidden, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(directory)


def unhide(run_dir: Path, name: str) -> None:
    """Undo `hide`. Raise OSError."""
    directory = open_directory(str(run_dir))
    try:
        os.rename(f".{name}.removed", name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(directory)


def delete_hidden(run_dir: Path) -> bool:
    """Delete the hidden checkpoints and saved models. Return whether none is left."""
    for name in _hidden(run_dir):
        remove_tree(str(run_dir / name))
    return not _hidden(run_dir)


def _hidden(run_dir: Path) -> list[str]:
    return [name for name in _directories(run_dir) if _REMOVED.fullmatch(name)]


def _choose(checkpoints: tuple[Checkpoint, ...], name: str | None) -> Checkpoint:
    if name is None:
        complete = [one for one in checkpoints if one.is_complete]
        if not complete:
            raise ValueError("the run has no complete checkpoint")
        return next((one for one in complete if one.is_latest), complete[-1])
    for one in checkpoints:
        if one.name == name:
            if one.is_complete:
                return one
            raise ValueError(
                f"{name} is not complete: the trainer did not finish writing it; choose another checkpoint"
            )
    known = ", ".join(one.name for one in checkpoints if one.is_complete) or "none"
    raise ValueError(f"the run has no checkpoint {name!r}; choose from {known}")


def _remove_leftovers(run_dir: Path) -> None:
    for name in SIGNAL_FILES:
        remove(str(run_dir / name))
    for name in _directories(run_dir):
        # The trainer creates `epochN/tmp` when it saves a model, and fails if it exists.
        if SAVED_MODEL.fullmatch(name):
            remove_tree(str(run_dir / name / "tmp"), _CHECKPOINT_LEVELS)


def _find(run_dir: Path) -> list[_FoundCheckpoint]:
    found = []
    for name in _directories(run_dir):
        match = _NAME.fullmatch(name)
        if match is not None:
            found.append(_measure(run_dir / name, int(match[1])))
    return sorted(found, key=lambda one: one.step)


def _measure(directory: Path, step: int) -> _FoundCheckpoint:
    below = walk(str(directory), _CHECKPOINT_LEVELS)
    files: list[list[Any]] = sorted([path, status.st_size, status.st_mtime_ns] for path, status in below)
    written_at = max((file[2] / 1e9 for file in files), default=0.0)
    return _FoundCheckpoint(directory.name, step, sum(file[1] for file in files), written_at, files)


def _latest(run_dir: Path, found: list[_FoundCheckpoint]) -> str | None:
    """Return the name in `latest`, even if that checkpoint does not exist, or None without the file."""
    try:
        name = read(str(run_dir / LATEST))[:100].decode("ascii", "replace").strip()
    except OSError as error:
        _raise_unless_missing(error)
        return None
    if _NAME.fullmatch(name):
        return name
    # The file was cut off during its write. By then the newest checkpoint was complete on disk.
    newest = max(found, key=lambda one: one.written_at, default=None)
    return None if newest is None else newest.name


def _is_complete(one: _FoundCheckpoint, latest: str | None, verdicts: dict[str, Any]) -> bool:
    verdict = verdicts.get(one.name)
    if isinstance(verdict, dict) and verdict.get("files") in (one.digest, one.files):
        return verdict.get("whole") is True
    match = _NAME.fullmatch(latest or "")
    return match is not None and one.step <= int(match[1])


def _read_verdicts(run_dir: Path) -> dict[str, Any]:
    try:
        content = json.loads(read(str(run_dir / _VERDICTS_FILE)))
    except OSError as error:
        _raise_unless_missing(error)
        return {}
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _raise_unless_missing(error: OSError) -> None:
    """Raise the error again, unless it means that the file is missing or not a plain file."""
    if error.errno in TROUBLE:
        raise error


def _directories(run_dir: Path) -> list[str]:
    return list_names(str(run_dir))[0]
