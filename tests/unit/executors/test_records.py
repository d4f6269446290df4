import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain.tasks.task import ProcessIdentity
from api.domain.tasks.training import StopRung
from api.executors.records import (
    damaged_outcome,
    parse_lock,
    parse_outcome,
    parse_runner,
    read_lost_bytes,
    read_outcome,
)
from tests.unit.util.foreign import Plant, each_plant

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES = ["reason", "exit_code", "phrases", "stop_rung", "ended_at", "supervisor", "trainer", "rung", "pid", "start"]
RECORDS = st.binary() | st.dictionaries(st.sampled_from(NAMES), JSON).map(lambda made: json.dumps(made).encode())


@given(RECORDS)
def test_no_record_raises(content: bytes) -> None:
    parse_runner(content)
    parse_lock(content, "boot")
    outcome = parse_outcome(content, 5.0)
    assert outcome is None or outcome.reason


def test_unreadable_outcome_has_an_error_and_a_time() -> None:
    assert parse_outcome(b"{", 5.0) is None
    outcome = damaged_outcome(5.0)
    assert (outcome.reason, outcome.ended_at) == ("supervisor_lost", 5.0)
    assert "exit.json" in (outcome.error or "")


def test_complete_outcome_is_parsed() -> None:
    written = {
        "reason": "exited",
        "exit_code": 3,
        "signal": None,
        "error": None,
        "stop_requested": True,
        "stop_rung": "terminate",
        "last_step": 17,
        "phrases": ["a", 3],
        "started_at": 1.5,
        "ended_at": 2.5,
        "survivors_killed": 2,
        "log_offset": 10,
        "log_bytes": 20,
        "log_lost_bytes": 5,
        "error_number": 28,
        "error_file": "/data/spec.json",
    }
    outcome = parse_outcome(json.dumps(written).encode(), 0.0)
    assert outcome is not None
    assert (outcome.exit_code, outcome.stop_rung, outcome.last_step) == (3, StopRung.TERMINATE, 17)
    assert (outcome.phrases, outcome.started_at, outcome.ended_at) == ({"a"}, 1.5, 2.5)
    assert (outcome.survivors_killed, outcome.log_offset, outcome.log_bytes, outcome.log_lost_bytes) == (2, 10, 20, 5)
    assert (outcome.error_number, outcome.error_file) == (28, "/data/spec.json")


@pytest.mark.parametrize("value", [-1, 1e300, float("nan"), float("inf"), 2**70, 1.5, "1", True, [], {}, None])
@pytest.mark.parametrize("name", ["exit_code", "signal", "last_step", "log_offset", "started_at"])
def test_invalid_number_is_none(name: str, value: object) -> None:
    outcome = parse_outcome(json.dumps({"reason": "exited", "ended_at": 2.5, name: value}).encode(), 0.0)
    assert outcome is not None
    assert getattr(outcome, name) is None or (name, value) == ("started_at", 1.5)


@pytest.mark.parametrize("written_at", [-5.0, 1e18])
def test_impossible_file_time_is_not_used_as_the_end(written_at: float) -> None:
    outcome = parse_outcome(json.dumps({"reason": "exited", "ended_at": -1}).encode(), written_at)
    assert outcome is not None
    assert datetime.fromtimestamp(outcome.ended_at, UTC)


def test_outcome_with_an_unknown_reason_is_damaged() -> None:
    assert parse_outcome(b'{"reason": "success"}', 5.0) is None


def test_texts_of_an_outcome_are_bounded() -> None:
    content = {"reason": "exited", "error": "x" * 10**5, "phrases": [f"{n}" + "x" * 10**4 for n in range(500)]}
    outcome = parse_outcome(json.dumps(content).encode(), 5.0)
    assert outcome is not None
    assert len(outcome.error or "") + sum(map(len, outcome.phrases)) < 200_000


def test_runner_contains_its_processes() -> None:
    written = {
        "boot_id": "b",
        "supervisor": {"pid": 5, "start": 9},
        "trainer": None,
        "rung": "kill",
        "phase": "stopping",
    }
    runner = parse_runner(json.dumps(written).encode())
    assert runner is not None
    assert (runner.supervisor, runner.trainer, runner.stop_rung) == (ProcessIdentity(5, 9.0), None, StopRung.KILL)


@pytest.mark.parametrize("pid", [0, -1, 1.5, "5", True, None])
def test_invalid_pid_is_none(pid: object) -> None:
    runner = parse_runner(json.dumps({"supervisor": {"pid": pid, "start": 9}}).encode())
    assert runner is not None
    assert runner.supervisor is None


def test_lock_of_an_earlier_boot_is_ignored() -> None:
    content = json.dumps({"boot_id": "old", "pid": 5, "start": 9}).encode()
    assert parse_lock(content, "new") is None
    assert parse_lock(content, "old") == ProcessIdentity(5, 9.0)


def test_outcome_is_read_and_a_damaged_one_has_its_files_time(tmp_path: Path) -> None:
    path = tmp_path / "exit.json"
    path.write_text(json.dumps({"reason": "exited", "exit_code": 3}))
    assert read_outcome(str(path)).exit_code == 3
    path.write_text("{")
    os.utime(path, (100, 100))
    damaged = read_outcome(str(path))
    assert (damaged.reason, damaged.exit_code, damaged.ended_at) == ("supervisor_lost", None, 100.0)


def test_missing_file_has_no_outcome(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_outcome(str(tmp_path / "exit.json"))


@each_plant
def test_non_file_is_a_damaged_outcome(tmp_path: Path, plant: Plant) -> None:
    plant(tmp_path / "exit.json")
    assert read_outcome(str(tmp_path / "exit.json")).reason == "supervisor_lost"


@pytest.mark.parametrize(("value", "count"), [(7, 7), (0, 0), (-7, None), (None, None), ("x", None)])
def test_lost_bytes_are_the_supervisors(tmp_path: Path, value: object, count: int | None) -> None:
    path = tmp_path / "runner.json"
    assert read_lost_bytes(str(path)) is None
    path.write_text(json.dumps({"boot_id": "b", "log_lost_bytes": value}))
    assert read_lost_bytes(str(path)) == count
