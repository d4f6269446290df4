import fcntl
import json
import os
from pathlib import Path

import pytest

from api.executors.attempt.directory import AttemptDirectory, Surpassed
from api.executors.executor import AttemptRef
from api.executors.slurm import ending
from api.executors.slurm.ending import AttemptEnds, why_ended
from api.executors.slurm.jobs import Job


def outcome(directory: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((directory / "exit.json").read_text())
    return content


def test_whoever_is_left_of_it_is_told_to_give_way_and_waited_for(tmp_path: Path) -> None:
    ends, twin = AttemptEnds(), AttemptDirectory(str(tmp_path))
    lock = twin.take_lock()
    twin.claim(lock)
    assert not ends.end(tmp_path, "node_lost", "n1")
    with pytest.raises(Surpassed):
        twin.check_fence()
    assert not ends.end(tmp_path, "node_lost", "n1")
    os.close(lock)
    assert ends.end(tmp_path, "node_lost", "n1")
    assert outcome(tmp_path)["reason"] == "node_lost"


def test_a_lock_that_nobody_gives_back_is_passed_over_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "LOCK_SECONDS", 0.0)
    ends = AttemptEnds()
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not ends.end(tmp_path, "supervisor_lost", "n1", is_seen_over=True)
        assert ends.end(tmp_path, "supervisor_lost", "n1", is_seen_over=True)


def test_of_a_machine_that_is_cut_off_a_lock_is_the_sign_that_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "LOCK_SECONDS", 0.0)
    ends = AttemptEnds()
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert [ends.end(tmp_path, "node_lost", "n1") for _ in range(3)] == [False, False, False]
    assert ends.end(tmp_path, "node_lost", "n1")


def test_what_never_began_could_not_start_and_quotes_the_jobs_last_words(tmp_path: Path) -> None:
    (tmp_path / "supervisor.log").write_text("python: not found\n")
    assert AttemptEnds().end(tmp_path, "supervisor_lost", "job 3 ended as FAILED")
    found = outcome(tmp_path)
    assert (found["reason"], found["error"]) == ("could_not_start", "job 3 ended as FAILED: python: not found")


def test_what_was_not_seen_is_told_as_that(tmp_path: Path) -> None:
    assert AttemptEnds().end(tmp_path, "storage_unseen", "n3 does not see it")
    assert (outcome(tmp_path)["reason"], outcome(tmp_path)["error"]) == ("storage_unseen", "n3 does not see it")


def test_a_job_that_left_no_word_may_have_missed_the_storage(tmp_path: Path) -> None:
    assert AttemptEnds().end(tmp_path, "supervisor_lost", "job 3 ended as FAILED")
    assert "STORAGE_ROOT" in str(outcome(tmp_path)["error"])


def test_a_cancelled_job_is_named_unless_this_service_ordered_its_end(tmp_path: Path) -> None:
    job, ref = Job(123, "a.1", frozenset({"CANCELLED"}), nodes=("n1",)), AttemptRef("a.1", tmp_path, tmp_path / "log")
    assert why_ended(job, ref) == ("job_cancelled", "Slurm's job 123 was cancelled")
    (tmp_path / "stop.json").write_text("{}")
    assert why_ended(job, ref)[0] == "supervisor_lost"
