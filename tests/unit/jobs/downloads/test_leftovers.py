"""Incomplete files of abandoned downloads."""

import fcntl
import os
from pathlib import Path

from api.jobs.downloads.allowance import INCOMING, discard, remove_leftovers


def test_old_incomplete_files_are_removed(tmp_path: Path):
    (tmp_path / INCOMING).mkdir()
    old, new, held = (tmp_path / INCOMING / f"{name}.part" for name in ("old", "new", "held"))
    for part in (old, new, held):
        part.write_bytes(b"x")
        part.with_suffix(".lock").touch()
    for part in (old, held):
        os.utime(part, (1, 1))
    with held.with_suffix(".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_leftovers(tmp_path, 3600)
    assert sorted(path.name for path in (tmp_path / INCOMING).glob("*.part")) == ["held.part", "new.part"]
    remove_leftovers(tmp_path / "nowhere", 3600)


def test_old_locks_are_removed(tmp_path: Path):
    (tmp_path / INCOMING).mkdir()
    old, new = (tmp_path / INCOMING / f"{name}.lock" for name in ("old", "new"))
    for lock in (old, new):
        lock.touch()
    os.utime(old, (1, 1))
    remove_leftovers(tmp_path, 3600)
    assert [path.name for path in (tmp_path / INCOMING).iterdir()] == ["new.lock"]


def test_only_cancelled_files_are_removed(tmp_path: Path):
    incoming, outside = tmp_path / "models" / INCOMING, tmp_path / "outside.part"
    incoming.mkdir(parents=True)
    cancelled, other, held = (letter * 64 for letter in "abc")
    for path in (*(incoming / f"{key}.part" for key in (cancelled, other, held)), outside):
        path.write_bytes(b"x")
    with (incoming / f"{held}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        discard(tmp_path / "models", [cancelled, held, "d" * 64, "../../outside", ""])
    assert sorted(path.name for path in incoming.iterdir()) == [f"{other}.part", f"{held}.lock", f"{held}.part"]
    assert outside.exists()
