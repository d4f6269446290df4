"""The checkpoints in a run directory: which are whole, how to go back to one, and how to remove old ones."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.domain.training import Checkpoint
from api.util.clock import time_of
from api.util.foreign_files import OWN_LEVELS, TROUBLE, open_directory, read, remove, write
from api.util.foreign_trees import list_names, remove_tree, remove_tree_at, walk

_NAME = re.compile(r"global_step(\d{1,12})", re.ASCII)
_SAVED_MODEL = re.compile(r"(?:epoch|step)\d{1,12}", re.ASCII)

LATEST = "latest"
SIGNAL_FILES = ("save", "save_quit")

#: The name of a checkpoint's directory while it is being removed.
_REMOVED = re.compile(r"\.global_step\d{1,12}\.removed", re.ASCII)

#: Parts of a path entered without following a link: a checkpoint is one level below its run directory.
_CHECKPOINT_LEVELS = OWN_LEVELS + 1

#: The file that says which checkpoints were whole when a resume began: from then on `latest` alone cannot tell.
_JUDGED = ".judged_checkpoints.json"


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    step: int
    size_bytes: int
    written_at: float
    files: list[list[Any]]  #: name, size in bytes and time of each: they change when the trainer writes it again

    @property
    def digest(self) -> str:
        """Another one when the trainer writes it again."""
        return hashlib.sha256(json.dumps(self.files).encode()).hexdigest()


def list_checkpoints(run_dir: Path) -> tuple[Checkpoint, ...]:
    """Every checkpoint, oldest step first.

    `latest` is written last, so that what it names is whole, and so is what was written before: every lower step.
    A higher step is being written or was broken off. What was judged before a resume keeps its verdict until the
    trainer writes it again. Raises OSError where the directory cannot be read.
    """
    found = _find(run_dir)
    latest = _latest(run_dir, found)
    judged = _read_judged(run_dir)
    return tuple(
        Checkpoint(
            name=one.name,
            step=one.step,
            size_bytes=one.size_bytes,
            created_at=time_of(one.written_at),
            is_complete=one.size_bytes > 0 and _is_whole(one, latest, judged),
            is_latest=one.name == latest,
        )
        for one in found
    )


def prepare_resume(run_dir: Path, checkpoint: str | None) -> None:
    """Makes the trainer go on from a checkpoint, by default from the one that `latest` names.

    No trainer may be running in the run directory. Left-over signal files and the remains of a killed save are removed.
    Raises ValueError for a checkpoint that is unknown or not complete, OSError.
    """
    checkpoints = list_checkpoints(run_dir)
    chosen = _choose(checkpoints, checkpoint)
    _remove_leftovers(run_dir)
    whole = {one.name for one in checkpoints if one.is_complete}
    verdicts = {one.name: {"whole": one.name in whole, "files": one.digest} for one in _find(run_dir)}
    write(str(run_dir / _JUDGED), json.dumps(verdicts).encode())
    # Its directory says who gets at it; a trainer of another user is in the file's group, and writes it anew.
    write(str(run_dir / LATEST), chosen.name.encode(), mode=0o660)


def prune(run_dir: Path, keep: int) -> tuple[str, ...]:
    """Removes all but the newest `keep` complete checkpoints, never the one that `latest` names.

    Returns the names of those removed. Incomplete ones stay: the trainer may be writing them.
    """
    for name in _directories(run_dir):
        if _REMOVED.fullmatch(name):
            remove_tree(str(run_dir / name))
    # By time, not by step: after going back to an older one, what was written then is newer.
    complete = [one for one in list_checkpoints(run_dir) if one.is_complete]
    complete.sort(key=lambda one: (one.created_at, one.step))
    surplus = [one.name for one in complete[: -max(1, keep)] if not one.is_latest]
    return tuple(name for name in surplus if _remove(run_dir, name))


def _choose(checkpoints: tuple[Checkpoint, ...], name: str | None) -> Checkpoint:
    if name is None:
        complete = [one for one in checkpoints if one.is_complete]
        if not complete:
            raise ValueError("there is no complete checkpoint")
        return next((one for one in complete if one.is_latest), complete[-1])
    for one in checkpoints:
        if one.name == name:
            if one.is_complete:
                return one
            raise ValueError(f"{name} is not complete: the trainer did not finish writing it")
    known = ", ".join(one.name for one in checkpoints if one.is_complete) or "none"
    raise ValueError(f"there is no checkpoint {name!r}; the complete ones: {known}")


def _remove_leftovers(run_dir: Path) -> None:
    for name in SIGNAL_FILES:
        remove(str(run_dir / name))
    for name in _directories(run_dir):
        # The trainer makes `epochN/tmp` when it saves a model, and fails when it is there already.
        if _SAVED_MODEL.fullmatch(name):
            remove_tree(str(run_dir / name / "tmp"), _CHECKPOINT_LEVELS)


def _remove(run_dir: Path, name: str) -> bool:
    """Renames a checkpoint, then removes it, so that its name never stands for half a checkpoint; False on failure."""
    hidden = f".{name}.removed"
    try:
        directory = open_directory(str(run_dir))
    except OSError:
        return False
    try:
        remove_tree_at(directory, hidden)
        os.rename(name, hidden, src_dir_fd=directory, dst_dir_fd=directory)
        remove_tree_at(directory, hidden)
    except OSError:
        return False
    finally:
        os.close(directory)
    return True


def _find(run_dir: Path) -> list[_Found]:
    found = []
    for name in _directories(run_dir):
        match = _NAME.fullmatch(name)
        if match is not None:
            found.append(_measure(run_dir / name, int(match[1])))
    return sorted(found, key=lambda one: one.step)


def _measure(directory: Path, step: int) -> _Found:
    below = walk(str(directory), _CHECKPOINT_LEVELS)
    files: list[list[Any]] = sorted([path, status.st_size, status.st_mtime_ns] for path, status in below)
    written_at = max((file[2] / 1e9 for file in files), default=0.0)
    return _Found(directory.name, step, sum(file[1] for file in files), written_at, files)


def _latest(run_dir: Path, found: list[_Found]) -> str | None:
    """The name in the file `latest`, whether that checkpoint is there or not; None without one."""
    try:
        name = read(str(run_dir / LATEST))[:100].decode("ascii", "replace").strip()
    except OSError as error:
        _leave_out(error)
        return None
    if _NAME.fullmatch(name):
        return name
    # It was torn while it was written; by then every file of the newest checkpoint was on the disk.
    newest = max(found, key=lambda one: one.written_at, default=None)
    return None if newest is None else newest.name


def _is_whole(one: _Found, latest: str | None, judged: dict[str, Any]) -> bool:
    verdict = judged.get(one.name)
    if isinstance(verdict, dict) and verdict.get("files") in (one.digest, one.files):
        return verdict.get("whole") is True
    match = _NAME.fullmatch(latest or "")
    return match is not None and one.step <= int(match[1])


def _read_judged(run_dir: Path) -> dict[str, Any]:
    try:
        content = json.loads(read(str(run_dir / _JUDGED)))
    except OSError as error:
        _leave_out(error)
        return {}
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _leave_out(error: OSError) -> None:
    """Raises the error again where it does not say that a file is not there, or none of ours."""
    if error.errno in TROUBLE:
        raise error


def _directories(run_dir: Path) -> list[str]:
    return list_names(str(run_dir))[0]
