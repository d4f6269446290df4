import fcntl
import json
import os
from pathlib import Path

import pytest

from api.executors.attempt.directory import AttemptDirectory, Superseded
from api.executors.executor import AttemptRef
from api.executors.slurm import ending
from api.executors.slurm.ending import AttemptEnds, why_ended
from api.executors.slurm.jobs import Job


def outcome(directory: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((directory / "exit.json").read_text())
    return content


def test_remaining_supervisor_is_asked_to_give_way_and_waited_for(tmp_path: Path) -> None:
    ends, twin = AttemptEnds(), AttemptDirectory(str(tmp_path))
    lock = twin.take_lock()
    twin.claim(lock)
    assert not ends.end(tmp_path, "node_lost", "n1")
    with pytest.raises(Superseded):
        twin.check_fence()
    assert not ends.end(tmp_path, "node_lost", "n1")
    os.close(lock)
    assert ends.end(tmp_path, "node_lost", "n1")
    assert outcome(tmp_path)["reason"] == "node_lost"


def test_unreleased_lock_is_ignored_eventually(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "LOCK_SECONDS", 0.0)
    ends = AttemptEnds()
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not ends.end(tmp_path, "supervisor_lost", "n1", is_seen_over=True)
        assert ends.end(tmp_path, "supervisor_lost", "n1", is_seen_over=True)


def test_lock_of_a_disconnected_node_means_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "LOCK_SECONDS", 0.0)
    ends = AttemptEnds()
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert [ends.end(tmp_path, "node_lost", "n1") for _ in range(3)] == [False, False, False]
    assert ends.end(tmp_path, "node_lost", "n1")


def test_unstarted_attempt_could_not_start_and_quotes_the_jobs_output(tmp_path: Path) -> None:
    (tmp_path / "supervisor.log").write_text("python: not found\n")
    assert AttemptEnds().end(tmp_path, "supervisor_lost", "job 3 ended as FAILED")
    found = outcome(tmp_path)
    assert (found["reason"], found["error"]) == ("could_not_start", "job 3 ended as FAILED: python: not found")


def test_unseen_storage_is_reported_as_such(tmp_path: Path) -> None:
    assert AttemptEnds().end(tmp_path, "storage_unseen", "n3 does not see it")
    assert (outcome(tmp_path)["reason"], outcome(tmp_path)["error"]) == ("storage_unseen", "n3 does not see it")


def test_job_without_output_may_have_missed_the_storage(tmp_path: Path) -> None:
    assert AttemptEnds().end(tmp_path, "supervisor_lost", "job 3 ended as FAILED")
    assert "STORAGE_ROOT" in str(outcome(tmp_path)["error"])


def test_cancelled_job_is_reported_unless_this_service_ordered_it(tmp_path: Path) -> None:
    job, ref = Job(123, "a.1", frozenset({"CANCELLED"}), nodes=("n1",)), AttemptRef("a.1", tmp_path, tmp_path / "log")
    assert why_ended(job, ref) == ("job_cancelled", "Slurm's job 123 was cancelled")
    (tmp_path / "stop.json").write_text("{}")
    assert why_ended(job, ref)[0] == "supervisor_lost"
