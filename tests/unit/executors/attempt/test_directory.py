import errno
import json
import os
from pathlib import Path

import pytest

from api.executors.attempt import directory as directory_module
from api.executors.attempt.directory import HEARTBEAT_SECONDS, AttemptDirectory
from api.executors.attempt.small_files import read_json
from api.util.files.foreign_files import read
from tests.faults import Faults
from tests.unit.util.foreign import Plant, each_plant


def test_heartbeat_is_written_once_per_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(directory_module.time, "monotonic", lambda: now[0])
    directory = AttemptDirectory(str(tmp_path))
    beats = []
    for _ in range(100):
        beats.append(directory.beat_if_due())
        now[0] += HEARTBEAT_SECONDS / 4
    assert beats == [True, False, False, False] * 25


def test_heartbeat_is_the_modification_time_of_its_file(tmp_path: Path) -> None:
    directory = AttemptDirectory(str(tmp_path))
    directory.beat()
    os.utime(tmp_path / "heartbeat", (5.0, 5.0))
    assert directory.last_beat() == 5.0
    directory.beat()
    assert (directory.last_beat() or 0.0) > 5.0


@pytest.mark.parametrize("name", ["environment.json", "spec.json", "runner.json", "exit.json"])
def test_partial_files_of_a_killed_supervisor_are_removed_immediately(tmp_path: Path, name: str) -> None:
    (tmp_path / "runner.json").write_text("{}")
    left = tmp_path / f".{name}.0123456789abcdef.new"
    left.write_text("secret")
    others = tmp_path / ".stop.json.0123456789abcdef.new"
    others.write_text("may be in the making")
    AttemptDirectory(str(tmp_path)).remove_leftovers()
    assert not left.exists()
    assert others.exists()


def test_partial_files_before_the_first_record_are_kept(tmp_path: Path) -> None:
    young = tmp_path / ".environment.json.0123456789abcdef.new"
    young.write_text("in the making")
    AttemptDirectory(str(tmp_path)).remove_leftovers()
    assert young.exists()


def test_space_for_the_next_record_is_reserved(tmp_path: Path) -> None:
    directory = AttemptDirectory(str(tmp_path))
    directory.write_record({"fence": 1})
    [space] = tmp_path.glob(".runner.json.*.new")
    assert space.stat().st_size >= 4096
    directory.write_record({"fence": 2})
    assert (tmp_path / "runner.json").read_text() == '{"fence": 2}'
    assert not space.exists()
    directory.remove_leftovers()
    assert [path.name for path in tmp_path.iterdir()] == ["runner.json"]


@each_plant
def test_supervisor_does_not_write_through_planted_files(tmp_path: Path, plant: Plant) -> None:
    for name in ("exit.json", "lock", "fence", "heartbeat"):
        plant(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.glob("outside-of-*")}
    directory = AttemptDirectory(str(tmp_path))
    lock = directory.take_lock()
    try:
        directory.claim(lock)
        directory.beat()
        directory.write_outcome({"reason": "exited"})
    finally:
        os.close(lock)
    assert read_json(str(tmp_path / "exit.json")) == {"reason": "exited"}
    assert int(read(str(tmp_path / "fence"), 64)) == 1
    assert json.loads(read(str(tmp_path / "lock")))["pid"] == os.getpid()
    assert {path: path.read_bytes() for path in before} == before
    assert not (tmp_path / "made-by-following").exists()


def test_outcome_is_written_although_its_reserved_space_was_removed(tmp_path: Path) -> None:
    directory = AttemptDirectory(str(tmp_path))
    lock = directory.take_lock()
    directory.claim(lock)
    for path in tmp_path.glob(".exit.json.*"):
        path.unlink()
    with pytest.raises(FileNotFoundError):
        directory.write_outcome({"reason": "exited"})
    directory.write_outcome({"reason": "exited"})
    os.close(lock)
    assert read_json(str(tmp_path / "exit.json")) == {"reason": "exited"}


def test_disk_errors_do_not_make_a_supervisor_give_way(tmp_path: Path, faults: Faults) -> None:
    directory = AttemptDirectory(str(tmp_path))
    directory.claim(directory.take_lock())
    (tmp_path / "runner.json").write_text("{}")
    hidden = [faults.strike(call, str(tmp_path)) for call in ("stat", "lstat")]
    assert not directory.lacks("runner.json")
    assert directory.is_there()
    with pytest.raises(OSError, match="Input/output"):
        directory.recreate({})
    for fault in hidden:
        fault.end()
    (tmp_path / "runner.json").unlink()
    assert directory.lacks("runner.json")


def test_failing_lock_call_does_not_mean_another_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(directory_module.fcntl, "flock", refuse)
    with pytest.raises(OSError, match="No locks"):
        AttemptDirectory(str(tmp_path)).take_lock()


def test_temporarily_unreadable_fence_does_not_restart_at_zero(tmp_path: Path, faults: Faults) -> None:
    (tmp_path / "fence").write_text("7")
    hidden = faults.strike("read", "/fence", times=2)
    directory = AttemptDirectory(str(tmp_path))
    directory.claim(directory.take_lock())
    assert (directory.fence, hidden.hits) == (8, 2)


def test_fence_is_raised_above_the_recorded_one(tmp_path: Path) -> None:
    directory = AttemptDirectory(str(tmp_path))
    directory.raise_fence(4.0)
    assert directory.fence == 5
    directory.raise_fence(None)
    assert directory.fence == 5


def test_unreadable_fence_does_not_mean_a_later_supervisor(tmp_path: Path, faults: Faults) -> None:
    directory = AttemptDirectory(str(tmp_path))
    directory.claim(directory.take_lock())
    faults.strike("read", "/fence")
    directory.check_fence()
