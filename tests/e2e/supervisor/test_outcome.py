"""An attempt from its start to its outcome, with real processes."""

import errno
import signal
from pathlib import Path

import pytest

from tests.e2e.supervisor.attempts import Attempts

pytestmark = pytest.mark.quick

SECRET = "hf_planted-0123456789"


@pytest.mark.parametrize("code", [0, 247])
def test_outcome_contains_the_exit_code(attempts: Attempts, code: int) -> None:
    outcome = attempts.start(f"raise SystemExit({code})").outcome()
    assert (outcome.reason, outcome.exit_code, outcome.signal, outcome.stop_requested) == ("exited", code, None, False)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGINT])
def test_outcome_contains_the_signal(attempts: Attempts, number: int) -> None:
    script = f"""
        import os, signal
        if {int(number)} != signal.SIGKILL:
            signal.signal({int(number)}, signal.SIG_DFL)
        os.kill(os.getpid(), {int(number)})
    """
    outcome = attempts.start(script).outcome()
    assert (outcome.exit_code, outcome.signal) == (None, number)


def test_outcome_contains_phrases_and_the_last_step(attempts: Attempts) -> None:
    script = """
        for step in range(1, 40):
            print(f"steps: {step} loss: 0.5")
        print("TRAINING COMPLETE!")
    """
    outcome = attempts.start(script, phrases=("TRAINING COMPLETE!", "Manually quitting")).outcome()
    assert (outcome.last_step, outcome.phrases) == (39, {"TRAINING COMPLETE!"})


def test_log_contains_output_and_errors_in_order_and_nothing_else(attempts: Attempts) -> None:
    script = """
        import sys
        print("one"); print("two", file=sys.stderr); sys.stdout.buffer.write(b"three, unfinished")
    """
    attempt = attempts.start(script)
    outcome = attempt.outcome()
    assert attempt.log() == b"one\ntwo\nthree, unfinished"
    assert (outcome.log_offset, outcome.log_bytes, outcome.log_lost_bytes) == (0, 25, 0)


def test_unfinished_line_is_in_the_log_immediately(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('waiting for the', end='', flush=True); time.sleep(600)")
    attempt.waits_for(b"waiting for the")


def test_next_attempt_of_a_task_continues_its_log(attempts: Attempts) -> None:
    attempts.start("print('first')", task="t").outcome()
    second = attempts.start("print('second')", task="t")
    outcome = second.outcome()
    assert second.log() == b"first\nsecond\n"
    assert (outcome.log_offset, outcome.log_bytes, second.observe().log_start) == (6, 7, 6)


def test_phrases_of_an_earlier_attempt_do_not_count(attempts: Attempts) -> None:
    attempts.start("print('TRAINING COMPLETE!')", task="t").outcome()
    assert attempts.start("print('no')", task="t", phrases=("TRAINING COMPLETE!",)).outcome().phrases == set()


def test_trainer_gets_its_environment_directory_and_default_signals(attempts: Attempts, tmp_path: Path) -> None:
    script = """
        import os, signal, sys
        print(sorted(os.environ.items()))
        print(os.getcwd(), os.getsid(0) == os.getpid(), sys.stdin.read() == "")
        status = open("/proc/self/status").read()
        print([status.split(name + ":")[1].split()[0] for name in ("SigBlk",)], os.listdir("/proc/self/fd"))
    """
    there = tmp_path / "a directory"
    there.mkdir()
    attempt = attempts.start(script, cwd=there, env={"A": "1", "B": "ü = \n"})
    assert attempt.outcome().exit_code == 0
    lines = attempt.log().decode().splitlines()
    assert lines[0].startswith("[('A', '1'), ('B', 'ü = \\n'), ('DPIPE_ATTEMPT_UID'")
    assert lines[1] == f"{there} True True"
    assert lines[2] == "['0000000000000000'] ['0', '1', '2', '3']"  # the last one is the listing itself


def test_program_is_found_by_the_path_of_its_own_environment(attempts: Attempts, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "train-me"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    attempt = attempts.start("", argv=("train-me",), env={"PATH": f"/nowhere:{program.parent}"})
    assert (attempt.outcome().exit_code, attempt.log()) == (0, b"found\n")


def test_missing_interpreter_is_reported(attempts: Attempts) -> None:
    outcome = attempts.start("", argv=("/nowhere/python", "train.py")).outcome()
    assert (outcome.reason, outcome.exit_code) == ("could_not_start", None)
    assert "/nowhere/python" in (outcome.error or "")
    assert (outcome.error_number, outcome.error_file) == (errno.ENOENT, "/nowhere/python")


def test_missing_working_directory_is_reported(attempts: Attempts, tmp_path: Path) -> None:
    outcome = attempts.start("", cwd=tmp_path / "nowhere").outcome()
    assert outcome.reason == "could_not_start"
    assert "working directory" in (outcome.error or "")
    assert "nowhere" in (outcome.error or "")


def test_impossible_environment_is_reported(attempts: Attempts) -> None:
    assert attempts.start("", env={"A": "nul \0"}).outcome().reason == "could_not_start"


@pytest.mark.parametrize("garbage", [b"", b'{"uid": 1}'])
def test_damaged_spec_is_reported(attempts: Attempts, garbage: bytes) -> None:
    attempt = attempts.prepare("")
    (attempt.directory / "spec.json").write_bytes(garbage)
    attempt.executor._start(attempt.directory)
    outcome = attempt.outcome()
    assert outcome.reason == "could_not_start"
    assert outcome.error


def test_nothing_starts_if_the_stop_came_first(attempts: Attempts, tmp_path: Path) -> None:
    attempt = attempts.prepare(f"open({str(tmp_path / 'started')!r}, 'w')")
    attempt.stop()
    attempt.submit()
    outcome = attempt.outcome()
    assert (outcome.reason, outcome.stop_requested, outcome.started_at) == ("stopped_before_start", True, None)
    assert not (tmp_path / "started").exists()
