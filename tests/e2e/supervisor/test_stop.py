"""Stops: the rungs, the orders, and process trees that resist."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.domain.tasks.training import StopRung
from api.executors.attempt.processes import read_stat
from api.executors.attempt.small_files import write_json
from api.executors.executor import Phase
from tests.e2e.server import until
from tests.e2e.supervisor.attempts import PATIENCE, Attempt, Attempts, fill, zombies_of

IGNORES_TERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)

#: A trainer with children of every kind, which all write their pids to files and resist their end.
HOSTILE = """
    import os, signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def stay():
        with open("pids", "a") as file:
            file.write(f"{os.getpid()}\\n")
        while True:
            time.sleep(600)

    def child(*steps):
        if os.fork() == 0:
            for step in steps:
                step()
            stay()

    def die_as_parent():
        if os.fork():
            os._exit(0)

    def forget_environment():
        os.execve(sys.executable, [sys.executable, "-c", NAMELESS], {})

    NAMELESS = (
        "import os, signal, time; signal.signal(15, signal.SIG_IGN)\\n"
        "open('pids', 'a').write(f'{os.getpid()}\\\\n'); time.sleep(600)"
    )
    child()
    child(os.setsid)
    child(die_as_parent)
    child(os.setsid, die_as_parent)
    child(die_as_parent, os.setsid, die_as_parent)
    child(os.setpgrp)
    child(lambda: os.close(1), lambda: os.close(2))
    child(forget_environment)
    child(os.setsid, die_as_parent, forget_environment)
    child(lambda: os.kill(os.getpid(), signal.SIGSTOP))
    while len(open("pids").read().split()) < 9 if os.path.exists("pids") else True:
        time.sleep(0.01)
    END
"""


def hostile(attempts: Attempts, end: str) -> Attempt:
    """Start an attempt whose nine children have recorded their pids; a tenth is suspended."""
    attempt = attempts.start(HOSTILE.replace("END", end))
    until(lambda: len(pids_of(attempt)) >= 9, PATIENCE, "the children")
    return attempt


def pids_of(attempt: Attempt) -> list[int]:
    file = attempt.directory / "pids"
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def assert_nothing_is_left(attempt: Attempt, pids: list[int]) -> None:
    stats = [read_stat(pid) for pid in pids]
    assert [stat.pid for stat in stats if stat is not None and stat.is_alive] == []
    assert zombies_of(*pids) == []
    assert list(attempt.executor.survivors(attempt.ref)) == []


def test_hostile_tree_ends_within_the_grace_period_and_leaves_nothing(attempts: Attempts) -> None:
    attempt = hostile(attempts, "stay()")
    trainer = attempt.trainer_pid()
    attempt.stop(terminate=1.0)
    asked_at = time.time()
    outcome = attempt.outcome()
    assert outcome.ended_at - asked_at < 1.0 + 5.0
    assert (outcome.signal, outcome.stop_rung) == (signal.SIGKILL, StopRung.KILL)
    assert_nothing_is_left(attempt, [trainer, *pids_of(attempt)])


def test_hostile_tree_is_killed_immediately_on_request(attempts: Attempts) -> None:
    attempt = hostile(attempts, "stay()")
    attempt.stop(terminate=0.0)
    assert attempt.outcome().stop_rung is StopRung.KILL
    assert_nothing_is_left(attempt, pids_of(attempt))


def test_process_that_outlives_the_main_process_is_ended(attempts: Attempts) -> None:
    attempt = hostile(attempts, "raise SystemExit(7)")
    outcome = attempt.outcome()
    assert (outcome.exit_code, outcome.stop_requested, outcome.stop_rung) == (7, False, None)
    assert outcome.survivors_killed == 10
    assert_nothing_is_left(attempt, pids_of(attempt))


def test_process_that_outlives_the_main_process_may_end_by_itself(attempts: Attempts) -> None:
    script = "import os, time\nif os.fork() == 0: time.sleep(1); print('done', flush=True)"
    attempt = attempts.start(script, leftover_seconds=60.0)
    outcome = attempt.outcome()
    assert (outcome.survivors_killed, attempt.log()) == (0, b"done\n")


def test_attempt_with_only_leftover_processes_is_still_running(attempts: Attempts) -> None:
    attempt = attempts.start("import os, time\nif os.fork() == 0: time.sleep(600)", leftover_seconds=60.0)
    until(lambda: attempt.runner().get("phase") == "ending", PATIENCE, "the end of the main process")
    assert attempt.observe().phase is Phase.RUNNING
    attempt.stop(terminate=0.0)
    assert attempt.outcome().survivors_killed == 1


@pytest.mark.parametrize("leaves_session", ["", "os.setsid()"])
def test_process_that_escapes_by_forking_is_caught(attempts: Attempts, leaves_session: str) -> None:
    script = f"""
        import os, signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("up", flush=True)
        while True:
            if os.fork():
                os._exit(0)
            {leaves_session}
    """
    attempt = attempts.start(script, leftover_seconds=0.2)
    attempt.outcome()
    assert list(attempt.executor.survivors(attempt.ref)) == []


def test_suspended_trainer_receives_the_stop(attempts: Attempts) -> None:
    script = "import os, signal; print('up', flush=True); os.kill(os.getpid(), signal.SIGSTOP)"
    attempt = attempts.start(script)
    attempt.waits_for(b"up")
    attempt.stop()
    assert attempt.outcome().signal == signal.SIGTERM


def test_signal_file_alone_stops_a_trainer_that_heeds_it(attempts: Attempts, tmp_path: Path) -> None:
    file = tmp_path / "save_quit"
    attempt = attempts.start(f"""
        import os, time
        print("up", flush=True)
        while not os.path.exists({str(file)!r}):
            time.sleep(0.02)
        print("Manually quitting")
    """, phrases=("Manually quitting",))  # fmt: skip
    attempt.waits_for(b"up")
    assert not file.exists()
    attempt.stop(file, checkpoint=60.0)
    outcome = attempt.outcome()
    assert (outcome.exit_code, outcome.stop_rung, outcome.stop_requested) == (0, StopRung.CHECKPOINT, True)
    assert outcome.phrases == {"Manually quitting"}


def test_rungs_follow_each_other(attempts: Attempts, tmp_path: Path) -> None:
    attempt = attempts.start(IGNORES_TERM)
    attempt.waits_for(b"up")
    attempt.stop(tmp_path / "save_quit", checkpoint=1.5, terminate=1.5)
    seen: list[StopRung | None] = []
    while (now := attempt.observe()).phase is not Phase.ENDED:
        assert (now.phase is Phase.STOPPING) is (now.stop_rung is not None)
        if now.stop_rung not in seen:
            seen.append(now.stop_rung)
        time.sleep(0.02)
    # The last rung may be over before the test observes it.
    assert seen[:3] == [None, StopRung.CHECKPOINT, StopRung.TERMINATE]
    assert attempt.outcome().stop_rung is StopRung.KILL


def test_signal_file_that_cannot_be_created_is_skipped(attempts: Attempts, tmp_path: Path) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    attempt.stop(tmp_path / "no run directory yet" / "save_quit", checkpoint=600.0)
    assert attempt.outcome().stop_rung is StopRung.TERMINATE


def test_harder_order_replaces_a_softer_one(attempts: Attempts, tmp_path: Path) -> None:
    attempt = attempts.start(IGNORES_TERM)
    attempt.waits_for(b"up")
    attempt.stop(tmp_path / "save_quit", checkpoint=600.0, terminate=600.0)
    until(lambda: attempt.observe().stop_rung is StopRung.CHECKPOINT, PATIENCE, "the first rung")
    attempt.stop(terminate=600.0)
    until(lambda: attempt.observe().stop_rung is StopRung.TERMINATE, PATIENCE, "the second rung")
    attempt.stop(terminate=0.0)
    assert attempt.outcome().stop_rung is StopRung.KILL


def test_softer_order_changes_nothing(attempts: Attempts, tmp_path: Path) -> None:
    attempt = attempts.start(IGNORES_TERM)
    attempt.waits_for(b"up")
    attempt.stop(terminate=600.0)
    order = attempt.file("stop.json")
    attempt.stop(tmp_path / "save_quit", checkpoint=600.0, terminate=6000.0)
    assert attempt.file("stop.json") == order


def test_softer_order_that_reaches_the_supervisor_changes_nothing(attempts: Attempts, tmp_path: Path) -> None:
    attempt = attempts.start(IGNORES_TERM)
    attempt.waits_for(b"up")
    attempt.stop(terminate=2.0)
    until(lambda: attempt.observe().stop_rung is StopRung.TERMINATE, PATIENCE, "the rung")
    (attempt.directory / "stop.json").unlink()
    attempt.stop(tmp_path / "save_quit", checkpoint=600.0, terminate=600.0)
    assert attempt.outcome().stop_rung is StopRung.KILL
    assert not (tmp_path / "save_quit").exists()


def test_sigterm_to_the_supervisor_is_a_stop(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    os.kill(attempt.runner()["supervisor"]["pid"], signal.SIGTERM)
    outcome = attempt.outcome()
    assert (outcome.signal, outcome.stop_rung, outcome.stop_requested) == (signal.SIGTERM, StopRung.TERMINATE, True)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGPIPE])
def test_other_signals_do_not_affect_the_supervisor(attempts: Attempts, number: int) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(1)")
    attempt.waits_for(b"up")
    os.kill(attempt.runner()["supervisor"]["pid"], number)
    assert attempt.outcome().exit_code == 0


def test_unreadable_order_is_a_stop(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    (attempt.directory / "stop.json").write_bytes(b"{")
    assert attempt.outcome().stop_rung is StopRung.TERMINATE


def test_stop_of_an_ended_attempt_changes_nothing(attempts: Attempts) -> None:
    attempt = attempts.start("")
    outcome = attempt.outcome()
    attempt.stop()
    assert attempt.outcome() == outcome
    assert not (attempt.directory / "stop.json").exists()


@pytest.fixture
def crowded(tiny_disk: Path) -> Iterator[Attempts]:
    attempts = Attempts(tiny_disk)
    yield attempts
    attempts.clean_up()


#: A trainer that heeds only `save_quit` outside of the full disk.
HEEDING = """
    import os, signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("up", flush=True)
    while not os.path.exists({file!r}):
        time.sleep(0.02)
    print("Manually quitting")
"""


@pytest.mark.parametrize("how", ["checkpoint", "terminate", "kill"])
def test_stop_needs_no_disk_space(crowded: Attempts, tmp_path: Path, how: str) -> None:
    file = tmp_path / "save_quit"
    script = HEEDING.format(file=str(file))
    if how == "terminate":
        script = "import time; print('up', flush=True); time.sleep(600)"
    attempt = crowded.start(script)
    attempt.waits_for(b"up")
    attempt.trainer_pid()
    fill(crowded.directory / "ballast")
    attempt.stop(file if how == "checkpoint" else None, 60.0, 0.0 if how == "kill" else 30.0)
    outcome = attempt.outcome()
    assert not (attempt.directory / "stop.json").exists()
    expected = {"checkpoint": (0, None), "terminate": (None, signal.SIGTERM), "kill": (None, signal.SIGKILL)}[how]
    assert (outcome.exit_code, outcome.signal) == expected
    assert (outcome.stop_rung, outcome.stop_requested) == (StopRung(how), True)


def test_rung_of_a_stop_is_reported_although_the_disk_is_full(crowded: Attempts, tmp_path: Path) -> None:
    attempt = crowded.start(HEEDING.format(file=str(tmp_path / "never")))
    attempt.waits_for(b"up")
    attempt.trainer_pid()
    fill(crowded.directory / "ballast")
    attempt.stop(terminate=30.0)
    until(lambda: attempt.observe().stop_rung is StopRung.TERMINATE, PATIENCE, "the rung")
    attempt.stop(terminate=0.0)
    assert attempt.outcome().stop_rung is StopRung.KILL


def test_no_signal_reaches_a_process_that_only_a_record_claims_as_supervisor(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    attempt.trainer_pid()
    bystander = subprocess.Popen(["/bin/sleep", "600"])
    try:
        stat = read_stat(bystander.pid)
        assert stat is not None
        attempt.kill_supervisor()
        write_json(
            str(attempt.directory / "runner.json"),
            {**attempt.runner(), "supervisor": {"pid": stat.pid, "start": stat.start}},
        )
        assert attempt.observe().phase is Phase.ABSENT
        (attempt.directory / "stop.json").mkdir()
        attempt.directory.chmod(0o500)
        with contextlib.suppress(OSError):
            attempt.stop(terminate=0.0)
        assert bystander.poll() is None
    finally:
        attempt.directory.chmod(0o700)
        bystander.kill()
        bystander.wait()
