import errno
import json
import os
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from api.executors.attempt.processes import read_stat
from api.executors.executor import AttemptRef, Phase
from api.executors.local import LocalExecutor
from api.executors.process_survey import Survey
from api.models.task import ProcessIdentity


def test_outcome_that_was_mended_just_before_its_supervisor_was_gone_is_the_true_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    executor = LocalExecutor(sys.executable, "here", {})
    ref = AttemptRef("train_1.1", tmp_path, tmp_path / "log")
    (tmp_path / "exit.json").write_bytes(b"")

    def write_and_go(directory: Path) -> bool:
        (directory / "exit.json").write_text(json.dumps({"reason": "exited", "exit_code": 0}))
        return False

    monkeypatch.setattr(executor, "_has_supervisor", write_and_go)
    outcome = executor.observe([ref])[ref.uid].outcome
    assert outcome is not None
    assert (outcome.reason, outcome.exit_code) == ("exited", 0)


def test_what_an_attempt_left_half_written_is_removed_with_its_end_whose_supervisor_met_a_bad_disk(tmp_path: Path):
    executor = LocalExecutor(sys.executable, "here", {})
    ref = AttemptRef("train_1.1", tmp_path, tmp_path / "log")
    for name in (".exit.json.0123456789abcdef.new", ".runner.json.0123456789abcdef.new", "environment.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "runner.json").write_text("{}")
    (tmp_path / "exit.json").write_text(json.dumps({"reason": "exited", "exit_code": 0}))
    assert executor.observe([ref])[ref.uid].phase is Phase.ENDED
    assert sorted(os.listdir(tmp_path)) == ["exit.json", "runner.json"]


def test_directory_that_cannot_be_read_is_unknown_and_says_since_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    executor = LocalExecutor(sys.executable, "here", {})
    ref = AttemptRef("train_1.1", tmp_path, tmp_path / "log")

    def refuse(path: object, *_: object, **__: object) -> NoReturn:
        raise OSError(errno.ESTALE, "Stale file handle", str(path))

    monkeypatch.setattr("api.executors.local.os.stat", refuse)
    monkeypatch.setattr("api.executors.local.status_of", refuse)
    first = executor.observe([ref])[ref.uid]
    monkeypatch.setattr("api.executors.local.time.monotonic", lambda: 1e9)
    later = executor.observe([ref])[ref.uid]
    assert (first.phase, later.phase) == (Phase.UNKNOWN, Phase.UNKNOWN)
    assert "Stale file handle" in (first.reason or "")
    assert later.age > first.age


def test_a_living_supervisor_whose_record_lock_and_outcome_were_spoilt_is_not_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    executor = LocalExecutor(sys.executable, "here", {})
    ref = AttemptRef("train_1.1", tmp_path, tmp_path / "log")
    for name in ("lock", "runner.json", "heartbeat", "exit.json"):
        (tmp_path / name).write_bytes(b"\xff\0 nonsense")
    stat = read_stat(os.getpid())
    assert stat is not None
    living = Survey({tmp_path: ProcessIdentity(stat.pid, stat.start)}, {})
    monkeypatch.setattr("api.executors.local.survey", lambda: living)
    monkeypatch.setattr("api.executors.local.supervises", lambda pid, directory: pid == stat.pid)
    assert executor.observe([ref])[ref.uid].phase is Phase.RUNNING


@pytest.fixture
def ref(tmp_path: Path) -> AttemptRef:
    return AttemptRef("train_1.1", tmp_path, tmp_path / "log")


def test_what_no_log_has_is_told_by_the_record_of_the_supervisor(ref: AttemptRef):
    executor = LocalExecutor(sys.executable, "here", {})
    assert executor.lost_bytes(ref) is None
    (ref.directory / "runner.json").write_text(json.dumps({"fence": 1, "log_lost_bytes": 70}))
    assert executor.lost_bytes(ref) == 70


@pytest.mark.parametrize("content", ["{", "[]", '{"log_lost_bytes": "many"}', '{"log_lost_bytes": 1e300}'])
def test_a_record_that_is_none_tells_of_no_loss(ref: AttemptRef, content: str):
    (ref.directory / "runner.json").write_text(content)
    assert LocalExecutor(sys.executable, "here", {}).lost_bytes(ref) is None


def test_an_attempt_uses_the_gpus_on_which_the_driver_sees_its_processes(
    ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("api.executors.local.list_leftovers", lambda uid, directory, cgroup: [51, 52])
    at_work = {"GPU-a": (51, 7), "GPU-b": (7,), "GPU-c": (52,), "GPU-d": ()}
    executor = LocalExecutor(sys.executable, "here", {}, pids_by_gpu=lambda: at_work)
    assert executor.used_gpus(ref) == {"GPU-a", "GPU-c"}


def test_where_the_driver_cannot_say_nobody_knows_what_an_attempt_uses(ref: AttemptRef):
    assert LocalExecutor(sys.executable, "here", {}).used_gpus(ref) is None
