"""The checkpoints in a run directory: which are whole, how to go back to one, and how to remove old ones."""

import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.models.training import Checkpoint
from api.utils.clock import time_of

_NAME = re.compile(r"global_step(\d{1,12})", re.ASCII)
_SAVED_MODEL = re.compile(r"(?:epoch|step)\d{1,12}", re.ASCII)

LATEST = "latest"
SIGNAL_FILES = ("save", "save_quit")

#: What a checkpoint's directory is called while it is being removed.
_REMOVED = re.compile(r"\.global_step\d{1,12}\.removed", re.ASCII)

#: Which were whole and which broken when a resume began: from then on `latest` alone no longer tells.
_JUDGED = ".judged_checkpoints.json"


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    step: int
    size_bytes: int
    written_at: float
    files: list[list[Any]]  #: name, bytes and time of each: other ones when the trainer writes it again


def list_checkpoints(run_dir: Path) -> tuple[Checkpoint, ...]:
    """Every checkpoint, oldest step first.

    `latest` is written last, so that what it names is whole, and so is what was written before: every lower step.
    A higher step is being written or was broken off. What was judged before a resume keeps its verdict until the
    trainer writes it again.
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
    verdicts = {one.name: {"whole": one.name in whole, "files": one.files} for one in _find(run_dir)}
    _write_atomically(run_dir / _JUDGED, json.dumps(verdicts))
    _write_atomically(run_dir / LATEST, chosen.name)


def prune(run_dir: Path, keep: int) -> tuple[str, ...]:
    """Removes all but the newest `keep` complete checkpoints, never the one that `latest` names; who was removed.

    Incomplete ones stay: the trainer may be writing them.
    """
    for entry in _entries(run_dir):
        if _REMOVED.fullmatch(entry.name):
            shutil.rmtree(entry.path, ignore_errors=True)
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
        path = run_dir / name
        if path.is_symlink() or path.is_file():
            path.unlink(missing_ok=True)
    for entry in _entries(run_dir):
        # The trainer makes `epochN/tmp` when it saves a model, and fails when it is there already.
        remains = Path(entry.path, "tmp")
        if _SAVED_MODEL.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False) and not remains.is_symlink():
            shutil.rmtree(remains, ignore_errors=True)


def _remove(run_dir: Path, name: str) -> bool:
    """Takes it away at once under its name, then bit by bit: never is there half a checkpoint under that name."""
    hidden = run_dir / f".{name}.removed"
    try:
        if hidden.exists():
            shutil.rmtree(hidden)
        (run_dir / name).rename(hidden)
    except OSError:
        return False
    shutil.rmtree(hidden, ignore_errors=True)
    return True


def _find(run_dir: Path) -> list[_Found]:
    found = []
    for entry in _entries(run_dir):
        match = _NAME.fullmatch(entry.name)
        if match is not None and entry.is_dir(follow_symlinks=False):
            # One that is pruned in this moment is not there any more.
            with suppress(FileNotFoundError):
                found.append(_measure(entry, int(match[1])))
    return sorted(found, key=lambda one: one.step)


def _measure(entry: os.DirEntry[str], step: int) -> _Found:
    files: list[list[Any]] = []
    for folder, _, names in os.walk(entry.path):
        for name in names:
            path = Path(folder, name)
            try:
                status = path.lstat()
            except OSError:  # removed meanwhile
                continue
            files.append([str(path.relative_to(entry.path)), status.st_size, status.st_mtime_ns])
    times = [file[2] / 1e9 for file in files] or [entry.stat(follow_symlinks=False).st_mtime]
    return _Found(entry.name, step, sum(file[1] for file in files), max(times), sorted(files))


def _latest(run_dir: Path, found: list[_Found]) -> str | None:
    """The name that `latest` gives, whether it is there or not."""
    try:
        with (run_dir / LATEST).open("rb") as file:
            name = file.read(100).decode("ascii", "replace").strip()
    except OSError:
        return None
    if _NAME.fullmatch(name):
        return name
    # It was torn while it was written; by then every file of the newest checkpoint was on the disk.
    newest = max(found, key=lambda one: one.written_at, default=None)
    return None if newest is None else newest.name


def _is_whole(one: _Found, latest: str | None, judged: dict[str, Any]) -> bool:
    verdict = judged.get(one.name)
    if isinstance(verdict, dict) and verdict.get("files") == one.files:
        return verdict.get("whole") is True
    match = _NAME.fullmatch(latest or "")
    return match is not None and one.step <= int(match[1])


def _read_judged(run_dir: Path) -> dict[str, Any]:
    try:
        content = json.loads((run_dir / _JUDGED).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _entries(run_dir: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(run_dir) as entries:
            return list(entries)
    except OSError:
        return []


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name.lstrip('.')}.new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
