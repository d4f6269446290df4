"""Submission, observation, and the files that are left."""

import os
import signal
from pathlib import Path

import pytest

from api.executors.executor import Phase
from tests.e2e.server import until
from tests.e2e.supervisor.attempts import PATIENCE, Attempts, rss_kb, submit_elsewhere, zombies_of

pytestmark = pytest.mark.quick

SECRET = "hf_planted-0123456789"


def test_submitted_attempt_runs_until_it_ends(attempts: Attempts) -> None:
    attempt = attempts.start("import time; time.sleep(600)")
    assert attempt.observe().phase is Phase.RUNNING
    pid = attempt.trainer_pid()
    seen = attempt.observe()
    assert (seen.phase, seen.process and seen.process.pid) == (Phase.RUNNING, pid)
    os.kill(pid, signal.SIGKILL)
    assert attempt.outcome().signal == signal.SIGKILL


def test_attempt_that_was_never_submitted_is_absent(attempts: Attempts) -> None:
    seen = attempts.prepare("").observe()
    assert (seen.phase, seen.reason) == (Phase.ABSENT, "it was never started")


def test_second_submission_starts_nothing(attempts: Attempts, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    attempt = attempts.start(f"open({str(starts)!r}, 'a').write('x'); print('up', flush=True); input() or 1")
    for _ in range(3):
        attempt.submit()
    attempt.outcome()
    attempt.submit()
    assert (starts.read_text(), attempt.runner()["fence"]) == ("x", 1)


def test_two_concurrent_submissions_start_one_trainer(attempts: Attempts, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    attempt = attempts.prepare(f"open({str(starts)!r}, 'a').write('x'); import time; time.sleep(1)")
    others = [submit_elsewhere(attempt, {"KEY": SECRET}) for _ in range(4)]
    assert [other.wait(60) for other in others] == [0, 0, 0, 0]
    assert attempt.outcome().exit_code == 0
    assert starts.read_text() == "x"
    until(lambda: not (attempt.directory / "environment.json").exists(), PATIENCE, "the end of the secrets")


def test_trainer_outlives_a_killed_server(attempts: Attempts, tmp_path: Path) -> None:
    attempt = attempts.prepare(
        f"import time\nwhile not __import__('os').path.exists({str(tmp_path / 'go')!r}): time.sleep(0.05)"
    )
    server = submit_elsewhere(attempt, {}, "time.sleep(600)")
    try:
        attempt.trainer_pid()
    finally:
        server.kill()
        server.wait()
    assert attempt.observe().phase is Phase.RUNNING
    (tmp_path / "go").touch()
    outcome = attempt.outcome()
    assert (outcome.reason, outcome.exit_code) == ("exited", 0)


def test_secrets_are_deleted_from_the_disk_once_the_trainer_has_them(attempts: Attempts) -> None:
    attempt = attempts.start(
        "import os, time; print(len(os.environ['KEY']), flush=True); time.sleep(600)", env={"KEY": SECRET}
    )
    attempt.waits_for(str(len(SECRET)).encode())
    until(lambda: not (attempt.directory / "environment.json").exists(), PATIENCE, "the end of the secrets")
    held = [path for path in attempt.directory.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert held == []


def test_secrets_are_only_for_the_owner_and_in_no_command_line(attempts: Attempts) -> None:
    attempt = attempts.prepare("", env={"KEY": SECRET})
    attempt.executor._start = lambda directory: None  # type: ignore[method-assign]
    attempt.submit()
    assert (attempt.directory / "environment.json").stat().st_mode & 0o777 == 0o600
    assert (attempt.directory / "spec.json").stat().st_mode & 0o777 == 0o600
    assert SECRET not in (attempt.directory / "spec.json").read_text()


def test_supervisor_is_small_and_shows_only_its_directory(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(600)", env={"KEY": SECRET})
    attempt.waits_for(b"up")
    pid = attempt.runner()["supervisor"]["pid"]
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert command[4:6] == [str(attempt.directory).encode(), b"--again=3"]
    assert SECRET.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    until(lambda: rss_kb(pid) < 12.5 * 1024, PATIENCE, "the memory that loading took to be given back")


def test_neither_process_is_left_as_a_zombie(attempts: Attempts) -> None:
    attempt = attempts.start("import time; time.sleep(0.3)")
    pids = attempt.trainer_pid(), attempt.runner()["supervisor"]["pid"]
    attempt.outcome()
    until(lambda: attempt.observe() and zombies_of(*pids) == [], PATIENCE, "reaping")


@pytest.mark.parametrize("name", ["runner.json", "lock"])
@pytest.mark.parametrize("garbage", [b"", b'{"supervisor": {"pid": "x"}}'])
def test_damaged_record_is_absent_with_a_reason(attempts: Attempts, name: str, garbage: bytes) -> None:
    attempt = attempts.prepare("")
    (attempt.directory / name).write_bytes(garbage)
    seen = attempt.observe()
    assert seen.phase is Phase.ABSENT
    assert seen.reason


def test_damaged_outcome_is_that_of_a_lost_supervisor(attempts: Attempts) -> None:
    attempt = attempts.prepare("")
    (attempt.directory / "exit.json").write_bytes(b"{")
    outcome = attempt.outcome()
    assert outcome.reason == "supervisor_lost"
    assert outcome.error


@pytest.mark.parametrize("garbage", [b"", b"{}"])
def test_damaged_outcome_is_ignored_while_the_supervisor_is_alive(attempts: Attempts, garbage: bytes) -> None:
    attempt = attempts.start("import time; time.sleep(600)")
    pid = attempt.trainer_pid()
    (attempt.directory / "exit.json").write_bytes(garbage)
    assert attempt.observe().phase is Phase.RUNNING
    attempt.submit()
    assert attempt.trainer_pid() == pid
    attempt.stop(terminate=5.0)
    outcome = attempt.outcome()
    assert (outcome.reason, outcome.signal, outcome.stop_requested) == ("exited", signal.SIGTERM, True)


def test_supervisor_that_cannot_run_is_absent_with_a_reason(attempts: Attempts) -> None:
    attempt = attempts.prepare("")
    attempt.executor._python = "/bin/false"
    attempt.submit()
    until(lambda: attempt.observe().phase is Phase.ABSENT, PATIENCE, "the end of the supervisor")
    assert attempt.observe().reason
