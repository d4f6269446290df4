import fcntl
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from api.executors.attempt.directory import AttemptDirectory
from api.executors.attempt.ended import has_ended, has_outcome
from api.executors.attempt.files import read_json, write_json
from api.executors.attempt.processes import boot_id, read_stat
from api.executors.executor import AttemptRef, Phase, StopOrder
from api.executors.local import LocalExecutor
from api.executors.process_survey import Survey
from api.utils.foreign_files import read
from tests.unit.utils.foreign import Plant, each_plant

#: Every name in an attempt's directory that the service or the supervisor reads or writes.
NAMES = ["spec.json", "environment.json", "stop.json", "runner.json", "exit.json", "lock", "fence", "heartbeat"]


def myself() -> dict[str, object]:
    stat = read_stat(os.getpid())
    assert stat is not None
    return {"pid": stat.pid, "start": stat.start}


def outcome(directory: Path, **fields: object) -> None:
    write_json(str(directory / "exit.json"), {"reason": "exited", "exit_code": 0, "fence": 1, **fields})


def test_an_outcome_beside_a_living_trainer_is_not_believed(tmp_path: Path) -> None:
    write_json(str(tmp_path / "runner.json"), {"boot_id": boot_id(), "trainer": myself(), "fence": 1})
    outcome(tmp_path)
    assert has_outcome(str(tmp_path))
    assert not has_ended(str(tmp_path))


@pytest.mark.parametrize("keeper", ["runner.json", "fence"])
def test_an_outcome_with_an_earlier_supervisors_fence_is_not_believed(tmp_path: Path, keeper: str) -> None:
    (tmp_path / keeper).write_text(json.dumps({"fence": 2}) if keeper == "runner.json" else f"{2:020d}\n")
    outcome(tmp_path, fence=1)
    assert not has_ended(str(tmp_path))
    outcome(tmp_path, fence=2)
    assert has_ended(str(tmp_path))


def test_an_outcome_of_a_living_supervisor_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.executors.local.supervises", lambda *_: True)
    executor = LocalExecutor(sys.executable, "here", {})
    write_json(str(tmp_path / "runner.json"), {"boot_id": boot_id(), "supervisor": myself(), "fence": 1})
    outcome(tmp_path)
    ref = AttemptRef("t.1", tmp_path, tmp_path / "log")
    assert executor.observe([ref])[ref.uid].phase is Phase.RUNNING


@each_plant
def test_what_is_no_file_in_the_place_of_the_outcome_is_a_damaged_one(tmp_path: Path, plant: Plant) -> None:
    plant(tmp_path / "exit.json")
    ref = AttemptRef("t.1", tmp_path, tmp_path / "log")
    seen = LocalExecutor(sys.executable, "here", {}).observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert (seen.outcome.reason, seen.outcome.exit_code) == ("supervisor_lost", None)


@each_plant
@pytest.mark.parametrize("name", NAMES)
def test_no_name_in_its_directory_hangs_or_misleads_the_service(tmp_path: Path, plant: Plant, name: str) -> None:
    plant(tmp_path / name)
    ref = AttemptRef("t.1", tmp_path, tmp_path / "log")
    executor = LocalExecutor(sys.executable, "here", {})
    assert executor.observe([ref])[ref.uid].phase in (Phase.ABSENT, Phase.ENDED)
    executor.stop(ref, StopOrder())
    assert name == "exit.json" or "signal_file" in read_json(str(tmp_path / "stop.json"))
    assert not (tmp_path / "made-by-following").exists()


@each_plant
def test_a_supervisor_writes_through_nothing_that_it_finds(tmp_path: Path, plant: Plant) -> None:
    for name in ("exit.json", "lock", "fence", "heartbeat"):
        plant(tmp_path / name)
    kept = {path: path.read_bytes() for path in tmp_path.glob("outside-of-*")}
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
    assert {path: path.read_bytes() for path in kept} == kept
    assert not (tmp_path / "made-by-following").exists()


def test_an_outcome_whose_reserved_space_was_taken_away_is_written_nevertheless(tmp_path: Path) -> None:
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


def test_an_order_is_written_though_somebody_holds_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.executors.stop_orders.ALONE_SECONDS", 0.0)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        LocalExecutor(sys.executable, "here", {}).stop(AttemptRef("t.1", tmp_path, tmp_path / "log"), StopOrder())
    finally:
        os.close(handle)
    assert (tmp_path / "stop.json").exists()


def test_what_cannot_be_understood_of_one_attempt_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refs = [AttemptRef(f"t.{n}", tmp_path / str(n), tmp_path / "log") for n in (1, 2)]
    for ref in refs:
        ref.directory.mkdir()
    executor = LocalExecutor(sys.executable, "here", {})
    whole = executor._outcome

    def trip(directory: Path, look: Callable[[], Survey]) -> object:
        if directory == refs[0].directory:
            raise OverflowError("too large")
        return whole(directory, look)

    monkeypatch.setattr(executor, "_outcome", trip)
    for _ in range(3):
        seen = executor.observe(refs)
    assert [seen[ref.uid].phase for ref in refs] == [Phase.UNKNOWN, Phase.ABSENT]
    assert len(caplog.records) == 1
