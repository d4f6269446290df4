"""Whether a job finds what was written for it, and what is made of one that did not."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from api.executors.slurm.jobs import Job
from api.executors.slurm.sight import REST_SECONDS, UNSEEN, UNWRITABLE, StorageSight, is_blind, write_look, write_mark

UID = "train_1.1"


def look(directory: Path) -> int:
    """What a job of UID on this machine ends with; 0 for one that has begun."""
    script = f"{write_look(directory, UID, seconds=0.1)}echo begun\n"
    return subprocess.run(["/bin/sh", "-c", script], timeout=10, check=False).returncode


def blind(number: int, node: str = "n3", code: int = UNSEEN, comment: str = "ours") -> Job:
    return Job(number, f"train_{number}.1", frozenset({"FAILED"}), comment=comment, nodes=(node,), exit_code=code)


def test_a_job_that_finds_its_mark_prints_into_the_attempts_directory(tmp_path: Path) -> None:
    directory = tmp_path / "it's $one"
    directory.mkdir()
    write_mark(directory, UID)
    assert look(directory) == 0
    assert (directory / "supervisor.log").read_text() == "begun\n"


def test_a_job_that_finds_nothing_leaves_nothing(tmp_path: Path) -> None:
    assert look(tmp_path / "missing") == UNSEEN
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_another_attempt_is_not_the_one_that_was_written(tmp_path: Path) -> None:
    write_mark(tmp_path, "train_1.10")
    assert look(tmp_path) == UNSEEN


def test_a_look_that_never_returns_ends_with_its_time(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "uid")
    assert look(tmp_path) == UNSEEN


def test_a_storage_that_takes_nothing_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    write_mark(tmp_path, UID)
    (tmp_path / "supervisor.log").mkdir()  # whoever the test runs as
    assert look(tmp_path) == UNWRITABLE


def test_a_mark_is_written_once_and_in_the_place_of_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "uid").write_text("something else")
    write_mark(tmp_path, UID)
    written = (tmp_path / "uid").stat().st_ino
    write_mark(tmp_path, UID)
    assert (tmp_path / "uid").stat().st_ino == written
    assert (tmp_path / "uid").read_text() == f"{UID}\n"


@pytest.mark.parametrize(("state", "code", "is_it"), [("FAILED", 113, True), ("FAILED", 1, False)])
def test_a_job_is_blind_by_its_exit_code(state: str, code: int, is_it: bool) -> None:
    assert is_blind(Job(1, "a.1", frozenset({state}), exit_code=code)) is is_it


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def sight(clock: list[float]) -> StorageSight:
    now: Callable[[], float] = lambda: clock[0]  # noqa: E731
    return StorageSight("ours", now)


def why(sight: StorageSight, node: str = "n3") -> str | None:
    found = sight.why_not(node)
    return None if found is None else found.text


def test_a_machine_on_which_a_job_found_nothing_gets_no_other_for_a_while(
    sight: StorageSight, clock: list[float]
) -> None:
    sight.heed([blind(7), Job(8, "b.1", frozenset({"RUNNING"}), comment="ours", nodes=("n1",))])
    assert "Slurm's job 7 did not find there" in (why(sight) or "")
    assert why(sight, "n1") is None
    clock[0] = REST_SECONDS
    # It is listed for an hour, and no news.
    sight.heed([blind(7)])
    assert why(sight) is None
    sight.heed([blind(7), blind(9, code=UNWRITABLE)])
    assert "Slurm's job 9 may not write there" in (why(sight) or "")


def test_what_slurm_has_forgotten_counts_as_long(sight: StorageSight) -> None:
    sight.heed([blind(7)])
    sight.heed([])
    assert why(sight) is not None


def test_jobs_of_others_say_nothing_of_this_storage(sight: StorageSight) -> None:
    sight.heed([blind(7, comment="another service"), blind(8, comment="ours too")])
    assert why(sight) is None
