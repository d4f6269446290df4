"""A lock that the kernel releases."""

import subprocess
import sys
from pathlib import Path

import pytest

from api.db.file_lock import FileLock

HOLD = """
import sys
from pathlib import Path
from api.db.file_lock import FileLock
print(FileLock(Path(sys.argv[1])).acquire(), flush=True)
sys.stdin.read()
"""


def test_lock_is_held_by_one_process(tmp_path: Path):
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()


def test_holder_may_acquire_again(tmp_path: Path):
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire()
    assert lock.acquire()
    lock.release()
    lock.release()
    assert FileLock(tmp_path / "lock").acquire()


def test_lock_can_be_acquired_after_a_refusal(tmp_path: Path):
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    first.acquire()
    for _ in range(3):
        assert not second.acquire()
    first.release()
    assert second.acquire()
    assert not first.acquire()


def test_lock_in_a_missing_directory_is_an_error(tmp_path: Path):
    with pytest.raises(OSError, match="No such file"):
        FileLock(tmp_path / "missing" / "lock").acquire()


def test_link_in_place_of_a_lock_is_not_followed(tmp_path: Path):
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        FileLock(tmp_path / "lock").acquire()
    assert not (tmp_path / "elsewhere").exists()


def test_lock_is_released_when_its_process_is_killed(tmp_path: Path):
    arguments = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        lock = FileLock(tmp_path / "lock")
        assert not lock.acquire()
        holder.kill()
        holder.wait()
        assert lock.acquire()
