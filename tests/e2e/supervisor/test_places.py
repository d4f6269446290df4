"""Absent, unknown and dead differ: removed directories, other pid namespaces, other machines, restarts."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.executors.attempt.small_files import write_json
from api.executors.executor import Phase
from api.executors.local import LocalExecutor
from tests.e2e.server import until
from tests.e2e.supervisor.attempts import PATIENCE, Attempt, Attempts, kill

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc")


def _start_counting_script(starts: Path) -> str:
    return f"""
        import time
        open({str(starts)!r}, "a").write("x")
        print("up", flush=True)
        time.sleep(600)
    """


def _observe_from_another_namespace(attempt: Attempt) -> dict[str, Any]:
    """Return what an executor in another pid namespace sees, before and after it is called to submit the attempt."""
    script = """
import json, sys
from pathlib import Path
from api.executors.executor import AttemptRef, Submission
from api.executors.local import LocalExecutor
uid, directory, log = sys.argv[1:]
executor, ref = LocalExecutor(), AttemptRef(uid, Path(directory), Path(log))
def observe():
    seen = executor.observe([ref])[uid]
    return [seen.phase, seen.reason]
before = observe()
if before[0] != "absent":
    executor.submit(Submission(ref, ("/bin/false",), Path("/"), {}, has_run=True))
print(json.dumps({"before": before, "after": observe()}))
"""
    ref = attempt.ref
    command = [*UNSHARE, sys.executable, "-c", script, ref.uid, str(ref.directory), str(ref.log_directory)]
    done = subprocess.run(
        command, check=False, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def namespaces() -> None:
    if subprocess.run([*UNSHARE, "true"], check=False, capture_output=True, timeout=60).returncode != 0:
        pytest.skip("pid namespaces may not be made here")


def test_removed_directory_ends_no_training(attempts: Attempts, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    attempt = attempts.start(_start_counting_script(starts))
    attempt.waits_for(b"up")
    pid, supervisor = attempt.trainer_pid(), attempt.runner()["supervisor"]
    shutil.rmtree(attempt.directory)
    later = replace(attempt, executor=LocalExecutor())
    assert later.observe().phase is Phase.RUNNING
    later.submit()
    until(lambda: attempt.runner().get("supervisor") == supervisor, PATIENCE, "the record again")
    process = later.observe().process
    assert process is not None
    assert process.pid == pid
    later.stop(terminate=0.0)
    assert later.outcome().signal == signal.SIGKILL
    assert starts.read_text() == "x"


def test_trainer_without_directory_and_supervisor_is_taken_over(attempts: Attempts, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    attempt = attempts.start(_start_counting_script(starts))
    attempt.waits_for(b"up")
    pid, who = attempt.trainer_pid(), attempt.runner()["supervisor"]
    shutil.rmtree(attempt.directory)
    kill(who["pid"], who["start"])
    later = replace(attempt, executor=LocalExecutor())
    assert later.observe().phase is Phase.ABSENT
    later.submit()
    until(lambda: later.observe().process, PATIENCE, "the takeover")
    assert attempt.trainer_pid() == pid
    os.kill(pid, signal.SIGKILL)
    assert later.outcome().reason == "supervisor_lost"
    assert starts.read_text() == "x"


@pytest.mark.parametrize("is_made_again", [True, False])
def test_no_line_is_lost_or_doubled_with_the_directory_and_the_supervisor(
    attempts: Attempts, tmp_path: Path, is_made_again: bool
) -> None:
    go = tmp_path / "go"
    attempt = attempts.start(
        f"""
        import os, time
        print("before", flush=True)
        while not os.path.exists({str(go)!r}):
            time.sleep(0.02)
        print("after", flush=True)
        time.sleep(600)
    """,
        task="elsewhere",
    )
    attempt.waits_for(b"before\n")
    attempt.trainer_pid()
    who = attempt.runner()["supervisor"]
    shutil.rmtree(attempt.directory)
    if is_made_again:
        until((attempt.directory / "output.ledger").exists, PATIENCE, "the files again")
    kill(who["pid"], who["start"])
    later = replace(attempt, executor=LocalExecutor())
    later.submit()
    go.touch()
    later.waits_for(b"after\n")
    # Without a ledger, less than one restored portion can be doubled, and nothing is lost.
    assert later.log() == b"before\nafter\n" or (not is_made_again and later.log() == b"before\nbefore\nafter\n")


def test_attempt_that_ran_is_never_started_again_although_nothing_is_left_of_it(
    attempts: Attempts, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    attempt = attempts.prepare(_start_counting_script(starts))
    replace(attempt, submission=replace(attempt.submission, has_run=True)).submit()
    assert attempt.outcome().reason == "supervisor_lost"
    assert not starts.exists()
    assert not list(attempt.directory.glob("environment.json*"))


@pytest.mark.usefixtures("namespaces")
def test_supervisor_is_known_by_its_lock_from_another_pid_namespace(attempts: Attempts, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    attempt = attempts.start(_start_counting_script(starts))
    attempt.waits_for(b"up")
    attempt.trainer_pid()
    seen = _observe_from_another_namespace(attempt)
    assert seen["before"][0] == seen["after"][0] == "running"
    assert "pid namespace" in seen["before"][1]
    assert starts.read_text() == "x"
    assert attempt.runner()["fence"] == 1


@pytest.mark.usefixtures("namespaces")
def test_trainer_without_supervisor_is_unknown_from_another_pid_namespace(attempts: Attempts, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    attempt = attempts.start(_start_counting_script(starts))
    attempt.waits_for(b"up")
    attempt.trainer_pid()
    attempt.kill_supervisor()
    seen = _observe_from_another_namespace(attempt)
    assert seen["before"][0] == seen["after"][0] == "unknown"
    assert attempt.runner()["fence"] == 1
    assert not (attempt.directory / "exit.json").exists()
    attempt.submit()
    until(lambda: attempt.observe().process, PATIENCE, "the takeover from where it can be seen")
    assert starts.read_text() == "x"


@pytest.mark.usefixtures("namespaces")
def test_process_that_the_kernel_shows_dead_is_not_unknown_from_another_pid_namespace(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    pid = attempt.trainer_pid()
    attempt.kill_supervisor()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), PATIENCE, "the end of the trainer")
    assert _observe_from_another_namespace(attempt)["before"][0] == "absent"


def test_attempt_of_another_machine_is_unknown_and_untouched(attempts: Attempts, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    attempt = attempts.start(_start_counting_script(starts))
    attempt.waits_for(b"up")
    attempt.trainer_pid()
    attempt.kill_supervisor()
    write_json(str(attempt.directory / "runner.json"), {**attempt.runner(), "boot_id": "another", "node": "elsewhere"})
    seen = attempt.observe()
    assert (seen.phase, "elsewhere" in (seen.reason or "")) == (Phase.UNKNOWN, True)
    attempt.submit()
    assert attempt.observe().phase is Phase.UNKNOWN
    assert attempt.runner()["fence"] == 1
    assert starts.read_text() == "x"


def test_survivor_is_taken_over_although_the_machine_seems_restarted(attempts: Attempts, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    attempt = attempts.start(_start_counting_script(starts))
    attempt.waits_for(b"up")
    pid = attempt.trainer_pid()
    attempt.kill_supervisor()
    write_json(str(attempt.directory / "runner.json"), {**attempt.runner(), "boot_id": "another"})
    assert attempt.observe().reason == "the machine was restarted"
    attempt.submit()
    until(lambda: attempt.observe().process, PATIENCE, "the takeover")
    assert attempt.trainer_pid() == pid
    assert starts.read_text() == "x"


def test_nothing_is_signalled_after_a_restart_of_the_machine(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('steps: 2\\nup', flush=True); time.sleep(600)")
    bystander = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    bystander.waits_for(b"up")
    pid = attempt.trainer_pid()
    attempt.kill_supervisor()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), PATIENCE, "the end of the trainer")
    other = bystander.runner()["trainer"] if bystander.trainer_pid() else None
    write_json(str(attempt.directory / "runner.json"), {**attempt.runner(), "boot_id": "another", "trainer": other})
    attempt.submit()
    outcome = attempt.outcome()
    assert (outcome.reason, outcome.last_step, outcome.exit_code) == ("machine_restarted", 2, None)
    assert bystander.observe().phase is Phase.RUNNING
