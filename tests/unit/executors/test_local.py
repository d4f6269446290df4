import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from api.domain.tasks.task import ProcessIdentity
from api.executors import local
from api.executors.attempt.output import PIPE
from api.executors.attempt.processes import boot_id, read_stat
from api.executors.attempt.small_files import read_json, write_json
from api.executors.executor import AttemptRef, Phase, StopOrder
from api.executors.local import HeldPipes, LocalExecutor
from api.executors.process_survey import Survey, is_held_open
from tests.unit.util.foreign import Plant, each_plant


def test_outcome_written_just_before_the_supervisors_death_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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


def test_partial_files_after_disk_errors_are_removed_with_the_end(tmp_path: Path):
    executor = LocalExecutor(sys.executable, "here", {})
    ref = AttemptRef("train_1.1", tmp_path, tmp_path / "log")
    for name in (".exit.json.0123456789abcdef.new", ".runner.json.0123456789abcdef.new", "environment.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "runner.json").write_text("{}")
    (tmp_path / "exit.json").write_text(json.dumps({"reason": "exited", "exit_code": 0}))
    assert executor.observe([ref])[ref.uid].phase is Phase.ENDED
    assert sorted(os.listdir(tmp_path)) == ["exit.json", "runner.json"]


def test_unreadable_directory_is_unknown_with_its_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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


def test_living_supervisor_with_damaged_files_is_not_considered_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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


def myself() -> dict[str, object]:
    stat = read_stat(os.getpid())
    assert stat is not None
    return {"pid": stat.pid, "start": stat.start}


def outcome(directory: Path, **fields: object) -> None:
    write_json(str(directory / "exit.json"), {"reason": "exited", "exit_code": 0, "fence": 1, **fields})


#: Every name in an attempt's directory that the service or the supervisor reads or writes.
NAMES = ["spec.json", "environment.json", "stop.json", "runner.json", "exit.json", "lock", "fence", "heartbeat"]


def test_outcome_beside_a_living_supervisor_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.executors.local.supervises", lambda *_: True)
    executor = LocalExecutor(sys.executable, "here", {})
    write_json(str(tmp_path / "runner.json"), {"boot_id": boot_id(), "supervisor": myself(), "fence": 1})
    outcome(tmp_path)
    ref = AttemptRef("t.1", tmp_path, tmp_path / "log")
    assert executor.observe([ref])[ref.uid].phase is Phase.RUNNING


@each_plant
def test_non_file_instead_of_the_outcome_is_a_damaged_outcome(tmp_path: Path, plant: Plant) -> None:
    plant(tmp_path / "exit.json")
    ref = AttemptRef("t.1", tmp_path, tmp_path / "log")
    seen = LocalExecutor(sys.executable, "here", {}).observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert (seen.outcome.reason, seen.outcome.exit_code) == ("supervisor_lost", None)


@each_plant
@pytest.mark.parametrize("name", NAMES)
def test_planted_files_neither_block_nor_mislead_the_service(tmp_path: Path, plant: Plant, name: str) -> None:
    plant(tmp_path / name)
    ref = AttemptRef("t.1", tmp_path, tmp_path / "log")
    executor = LocalExecutor(sys.executable, "here", {})
    assert executor.observe([ref])[ref.uid].phase in (Phase.ABSENT, Phase.ENDED)
    executor.stop(ref, StopOrder())
    assert name == "exit.json" or "signal_file" in read_json(str(tmp_path / "stop.json"))
    assert not (tmp_path / "made-by-following").exists()


def test_unparsable_attempt_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refs = [AttemptRef(f"t.{n}", tmp_path / str(n), tmp_path / "log") for n in (1, 2)]
    for ref in refs:
        ref.directory.mkdir()
    executor = LocalExecutor(sys.executable, "here", {})
    original = executor._outcome

    def trip(directory: Path, look: Callable[[], Survey]) -> object:
        if directory == refs[0].directory:
            raise OverflowError("too large")
        return original(directory, look)

    monkeypatch.setattr(executor, "_outcome", trip)
    for _ in range(3):
        seen = executor.observe(refs)
    assert [seen[ref.uid].phase for ref in refs] == [Phase.UNKNOWN, Phase.ABSENT]
    assert len(caplog.records) == 1


@pytest.fixture
def ref(tmp_path: Path) -> AttemptRef:
    return AttemptRef("train_1.1", tmp_path, tmp_path / "log")


def test_lost_bytes_are_read_from_the_supervisors_record(ref: AttemptRef):
    executor = LocalExecutor(sys.executable, "here", {})
    assert executor.lost_bytes(ref) is None
    (ref.directory / "runner.json").write_text(json.dumps({"fence": 1, "log_lost_bytes": 70}))
    assert executor.lost_bytes(ref) == 70


@pytest.mark.parametrize("content", ["{", "[]", '{"log_lost_bytes": "many"}', '{"log_lost_bytes": 1e300}'])
def test_invalid_record_reports_no_loss(ref: AttemptRef, content: str):
    (ref.directory / "runner.json").write_text(content)
    assert LocalExecutor(sys.executable, "here", {}).lost_bytes(ref) is None


def test_used_gpus_are_those_with_the_attempts_processes(ref: AttemptRef, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.executors.local.list_leftovers", lambda uid, directory, cgroup: [51, 52])
    at_work = {"GPU-a": (51, 7), "GPU-b": (7,), "GPU-c": (52,), "GPU-d": ()}
    executor = LocalExecutor(sys.executable, "here", {}, pids_by_gpu=lambda: at_work)
    assert executor.used_gpus(ref) == {"GPU-a", "GPU-c"}


def test_used_gpus_are_unknown_if_the_driver_does_not_list_processes(ref: AttemptRef):
    assert LocalExecutor(sys.executable, "here", {}).used_gpus(ref) is None


def make(directory: Path) -> Path:
    directory.mkdir()
    os.mkfifo(directory / PIPE)
    return directory


def test_content_of_a_pipe_outlives_its_writer(tmp_path: Path) -> None:
    attempt, pipes = make(tmp_path / "1"), HeldPipes()
    pipes.hold(attempt)
    pipes.hold(attempt)
    writer = os.open(attempt / PIPE, os.O_WRONLY | os.O_NONBLOCK)
    os.write(writer, b"words")
    os.close(writer)
    reader = os.open(attempt / PIPE, os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(reader, 100) == b"words"
    os.close(reader)
    pipes.let_go(attempt)
    assert not is_held_open(attempt / PIPE)


def test_attempt_without_a_pipe_is_ignored(tmp_path: Path) -> None:
    pipes = HeldPipes()
    pipes.hold(tmp_path)
    pipes.let_go(tmp_path)
    assert pipes._handles == {}


def test_oldest_pipe_is_closed_at_the_limit(tmp_path: Path, monkeypatch: object) -> None:
    pipes = HeldPipes()
    most, local.MAX_HELD_PIPES = local.MAX_HELD_PIPES, 2
    try:
        attempts = [make(tmp_path / str(number)) for number in range(3)]
        for attempt in attempts:
            pipes.hold(attempt)
        assert [is_held_open(attempt / PIPE) for attempt in attempts] == [False, True, True]
    finally:
        local.MAX_HELD_PIPES = most
        for attempt in attempts:
            pipes.let_go(attempt)
