"""The storage check of jobs, and the effect of a failed one."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from api.executors.slurm.jobs import Job
from api.executors.slurm.storage_check import (
    REST_SECONDS,
    UNSEEN,
    UNWRITABLE,
    StorageChecks,
    failed_storage_check,
    write_mark,
    write_storage_check,
)

UID = "train_1.1"


def run_check(directory: Path) -> int:
    """Return the exit code of a job of UID on this machine; 0 for a started one."""
    script = f"{write_storage_check(directory, UID, seconds=0.1)}echo started\n"
    return subprocess.run(["/bin/sh", "-c", script], timeout=10, check=False).returncode


def failed_job(number: int, node: str = "n3", code: int = UNSEEN, comment: str = "ours") -> Job:
    return Job(number, f"train_{number}.1", frozenset({"FAILED"}), comment=comment, nodes=(node,), exit_code=code)


def test_job_that_finds_its_mark_prints_to_the_attempts_directory(tmp_path: Path) -> None:
    directory = tmp_path / "it's $one"
    directory.mkdir()
    write_mark(directory, UID)
    assert run_check(directory) == 0
    assert (directory / "supervisor.log").read_text() == "started\n"


def test_job_without_the_storage_creates_nothing(tmp_path: Path) -> None:
    assert run_check(tmp_path / "missing") == UNSEEN
    assert list(tmp_path.iterdir()) == []


def test_directory_of_another_attempt_is_not_accepted(tmp_path: Path) -> None:
    write_mark(tmp_path, "train_1.10")
    assert run_check(tmp_path) == UNSEEN


def test_hanging_storage_check_times_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "uid")
    assert run_check(tmp_path) == UNSEEN


def test_read_only_storage_differs_from_missing_storage(tmp_path: Path) -> None:
    write_mark(tmp_path, UID)
    (tmp_path / "supervisor.log").mkdir()  # also effective for root
    assert run_check(tmp_path) == UNWRITABLE


def test_mark_is_written_once_and_replaces_invalid_files(tmp_path: Path) -> None:
    (tmp_path / "uid").write_text("something else")
    write_mark(tmp_path, UID)
    written = (tmp_path / "uid").stat().st_ino
    write_mark(tmp_path, UID)
    assert (tmp_path / "uid").stat().st_ino == written
    assert (tmp_path / "uid").read_text() == f"{UID}\n"


@pytest.mark.parametrize(("state", "code", "is_it"), [("FAILED", 113, True), ("FAILED", 1, False)])
def test_failed_check_is_recognised_by_its_exit_code(state: str, code: int, is_it: bool) -> None:
    assert failed_storage_check(Job(1, "a.1", frozenset({state}), exit_code=code)) is is_it


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def checks(clock: list[float]) -> StorageChecks:
    now: Callable[[], float] = lambda: clock[0]  # noqa: E731
    return StorageChecks("ours", now)


def why(checks: StorageChecks, node: str = "n3") -> str | None:
    found = checks.why_not(node)
    return None if found is None else found.text


def test_node_with_a_failed_check_gets_no_job_for_a_while(checks: StorageChecks, clock: list[float]) -> None:
    checks.update([failed_job(7), Job(8, "b.1", frozenset({"RUNNING"}), comment="ours", nodes=("n1",))])
    assert "Slurm's job 7 did not find there" in (why(checks) or "")
    assert why(checks, "n1") is None
    clock[0] = REST_SECONDS
    # It is listed for an hour, but not logged again.
    checks.update([failed_job(7)])
    assert why(checks) is None
    checks.update([failed_job(7), failed_job(9, code=UNWRITABLE)])
    assert "Slurm's job 9 may not write there" in (why(checks) or "")


def test_forgotten_job_counts_equally_long(checks: StorageChecks) -> None:
    checks.update([failed_job(7)])
    checks.update([])
    assert why(checks) is not None


def test_jobs_of_other_services_do_not_count(checks: StorageChecks) -> None:
    checks.update([failed_job(7, comment="another service"), failed_job(8, comment="ours too")])
    assert why(checks) is None
