"""A killed supervisor, and the one that takes over."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from api.domain.tasks.training import StopRung
from api.executors.attempt.small_files import write_json
from api.executors.executor import Phase
from tests.e2e.server import until
from tests.e2e.supervisor.attempts import PATIENCE, Attempts
from tests.lengths import length

#: A trainer that prints numbered lines as fast as the pipe accepts them; its phrase comes early, its last step late.
NUMBERED = """
    import os, time
    with open("starts", "a") as file:
        file.write("x")
    print("EARLY PHRASE")
    for number in range({count}):
        print(f"steps: {{number}} loss: 0.5")
    print("LATE PHRASE")
    open("written", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.02)
"""


def test_attempt_of_a_killed_supervisor_is_absent_and_its_trainer_is_alive(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    pid = attempt.trainer_pid()
    attempt.kill_supervisor()
    seen = attempt.observe()
    assert seen.phase is Phase.ABSENT
    assert "supervisor" in (seen.reason or "")
    os.kill(pid, 0)


def test_supervisor_that_takes_over_watches_the_same_trainer(attempts: Attempts, tmp_path: Path) -> None:
    go = tmp_path / "go"
    attempt = attempts.start(f"""
        import os, time
        open("starts", "a").write("x")
        print("steps: 4", flush=True)
        while not os.path.exists({str(go)!r}):
            time.sleep(0.02)
        print("steps: 5")
        raise SystemExit(3)
    """)
    attempt.waits_for(b"steps: 4")
    pid = attempt.trainer_pid()
    attempt.kill_supervisor()
    attempt.submit()
    until(lambda: attempt.runner()["fence"] == 2, PATIENCE, "the second supervisor")
    seen = attempt.observe()
    assert (seen.phase, seen.process and seen.process.pid) == (Phase.RUNNING, pid)
    go.touch()
    outcome = attempt.outcome()
    assert (outcome.reason, outcome.exit_code, outcome.signal) == ("supervisor_lost", None, None)
    assert (outcome.last_step, attempt.log()) == (5, b"steps: 4\nsteps: 5\n")
    assert (attempt.directory / "starts").read_text() == "x"


def test_no_line_is_lost_or_doubled_by_killed_supervisors(attempts: Attempts) -> None:
    count = 400_000
    attempt = attempts.start(NUMBERED.format(count=count), phrases=("EARLY PHRASE", "LATE PHRASE"))
    attempt.trainer_pid()
    chance = random.Random(5)
    killed = 0
    while not (attempt.directory / "written").exists():
        time.sleep(chance.uniform(0.0, 0.05))
        attempt.kill_supervisor()
        killed += 1
        attempt.submit()
        until(lambda: attempt.observe().supervisor, PATIENCE, "the next supervisor")
    (attempt.directory / "go").touch()
    outcome = attempt.outcome()
    lines = attempt.log().decode().splitlines()
    assert lines == ["EARLY PHRASE", *(f"steps: {number} loss: 0.5" for number in range(count)), "LATE PHRASE"]
    assert outcome.last_step == count - 1
    assert outcome.phrases == {"LATE PHRASE"}
    assert (attempt.directory / "starts").read_text() == "x"
    # A fast machine writes it all within a second.
    assert killed > 0


def test_last_output_of_a_trainer_that_ends_unobserved_is_stored(attempts: Attempts, tmp_path: Path) -> None:
    go = tmp_path / "go"
    attempt = attempts.start(f"""
        import os, time
        while not os.path.exists({str(go)!r}):
            time.sleep(0.02)
        print("Traceback: the end")
    """)
    pid = attempt.trainer_pid()
    assert attempt.observe().process
    attempt.kill_supervisor()
    go.touch()
    until(lambda: not Path(f"/proc/{pid}").exists(), PATIENCE, "the end of the trainer")
    attempt.submit()
    assert attempt.outcome().reason == "supervisor_lost"
    assert attempt.log() == b"Traceback: the end\n"


def test_last_output_needs_no_process_that_holds_it(attempts: Attempts, tmp_path: Path) -> None:
    go = tmp_path / "go"
    attempt = attempts.start(
        f"""
        import os, time
        while not os.path.exists({str(go)!r}):
            time.sleep(0.02)
        for step in range(34):
            print(f"steps: {{step}}")
        print("TRAINING COMPLETE!")
    """,
        phrases=("TRAINING COMPLETE!",),
    )
    pid = attempt.trainer_pid()
    attempt.kill_supervisor()
    go.touch()
    until(lambda: not Path(f"/proc/{pid}").exists(), PATIENCE, "the end of the trainer")
    attempt.submit()
    outcome = attempt.outcome()
    assert (outcome.reason, outcome.phrases, outcome.last_step) == ("supervisor_lost", {"TRAINING COMPLETE!"}, 33)
    assert attempt.log().decode().splitlines() == [*(f"steps: {n}" for n in range(34)), "TRAINING COMPLETE!"]


def test_death_of_any_process_blocks_no_print(attempts: Attempts, tmp_path: Path) -> None:
    go = tmp_path / "go"
    attempt = attempts.start(f"""
        import os, time
        while not os.path.exists({str(go)!r}):
            time.sleep(0.02)
        for number in range(200_000):
            print(f"line {{number}} of more than any pipe holds")
        open("written", "w").close()
    """)
    attempt.trainer_pid()
    attempt.kill_supervisor()
    go.touch()
    until((attempt.directory / "written").exists, PATIENCE, "the end of the writing")
    attempt.submit()
    outcome = attempt.outcome()
    lines = attempt.log().decode().splitlines()
    assert lines == [f"line {number} of more than any pipe holds" for number in range(200_000)]
    assert outcome.log_lost_bytes == 0


@pytest.mark.parametrize("seed", range(length(10, 3)))
def test_trainer_starts_once_however_early_its_supervisor_is_killed(attempts: Attempts, seed: int) -> None:
    chance = random.Random(seed)
    attempt = attempts.start("open('starts', 'a').write('x'); import time; print('up', flush=True); time.sleep(0.5)")
    for _ in range(3):
        time.sleep(chance.uniform(0.0, 0.06))
        started = attempt.executor._started[attempt.directory].process
        started.kill()
        started.wait()
        if attempt.observe().phase is Phase.ENDED:
            break
        attempt.submit()
    outcome = attempt.outcome()
    starts = attempt.directory / "starts"
    assert (starts.read_text() if starts.exists() else "") in ("", "x")
    if outcome.reason == "exited":
        assert (outcome.exit_code, starts.read_text()) == (0, "x")
    else:
        assert (outcome.reason, outcome.exit_code) == ("supervisor_lost", None)
    assert list(attempt.executor.survivors(attempt.ref)) == []


def test_started_but_unrecorded_trainer_is_found(attempts: Attempts) -> None:
    attempt = attempts.start("open('starts', 'a').write('x'); import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    pid = attempt.trainer_pid()
    attempt.kill_supervisor()
    write_json(str(attempt.directory / "runner.json"), {**attempt.runner(), "trainer": None, "phase": "starting"})
    attempt.submit()
    assert attempt.trainer_pid() == pid
    attempt.stop()
    assert attempt.outcome().reason == "supervisor_lost"
    assert (attempt.directory / "starts").read_text() == "x"


def test_start_that_left_no_process_is_lost_and_not_repeated(attempts: Attempts) -> None:
    attempt = attempts.start("open('starts', 'a').write('x'); import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    pid = attempt.trainer_pid()
    attempt.kill_supervisor()
    os.kill(pid, signal.SIGKILL)
    write_json(str(attempt.directory / "runner.json"), {**attempt.runner(), "trainer": None, "phase": "starting"})
    attempt.submit()
    assert attempt.outcome().reason == "supervisor_lost"
    assert (attempt.directory / "starts").read_text() == "x"


@pytest.mark.parametrize("garbage", [b"", b"\xff"])
def test_damaged_record_starts_nothing_twice(attempts: Attempts, garbage: bytes) -> None:
    attempt = attempts.start("open('starts', 'a').write('x'); import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    pid = attempt.trainer_pid()
    attempt.kill_supervisor()
    (attempt.directory / "runner.json").write_bytes(garbage)
    attempt.submit()
    until(lambda: attempt.observe().process, PATIENCE, "the takeover")
    process = attempt.observe().process
    assert process is not None
    assert process.pid == pid
    attempt.stop()
    attempt.outcome()
    assert (attempt.directory / "starts").read_text() == "x"


def test_trainer_that_ended_meanwhile_is_lost(attempts: Attempts) -> None:
    attempt = attempts.start("print('steps: 7\\nsteps', flush=True); import time; time.sleep(600)", phrases=("steps",))
    attempt.waits_for(b"steps: 7")
    pid = attempt.trainer_pid()
    attempt.kill_supervisor()
    os.kill(pid, signal.SIGKILL)
    attempt.submit()
    outcome = attempt.outcome()
    assert (outcome.reason, outcome.last_step, outcome.phrases) == ("supervisor_lost", 7, {"steps"})


def test_exit_code_that_the_killed_supervisor_saw_is_not_lost(attempts: Attempts) -> None:
    script = "import os, time\nif os.fork() == 0: time.sleep(600)\nraise SystemExit(7)"
    attempt = attempts.start(script, leftover_seconds=60.0)
    until(lambda: attempt.runner().get("phase") == "ending", PATIENCE, "the end of the main process")
    attempt.kill_supervisor()
    attempt.submit()
    attempt.stop(terminate=0.0)
    outcome = attempt.outcome()
    assert (outcome.reason, outcome.exit_code, outcome.survivors_killed) == ("exited", 7, 1)


def test_another_process_with_the_pid_of_the_trainer_is_untouched(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    attempt.kill_supervisor()
    bystander = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    bystander.waits_for(b"up")
    trainer = attempt.runner()["trainer"]
    os.kill(trainer["pid"], signal.SIGKILL)
    forged = {"pid": bystander.trainer_pid(), "start": trainer["start"]}
    write_json(str(attempt.directory / "runner.json"), {**attempt.runner(), "trainer": forged})
    attempt.stop(terminate=0.0)
    attempt.submit()
    assert attempt.outcome().reason == "supervisor_lost"
    assert bystander.observe().phase is Phase.RUNNING


def test_stop_continues_with_the_next_supervisor(attempts: Attempts, tmp_path: Path) -> None:
    attempt = attempts.start(
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    attempt.waits_for(b"up")
    attempt.stop(tmp_path / "save_quit", checkpoint=2.0, terminate=1.0)
    until(lambda: attempt.observe().stop_rung is StopRung.CHECKPOINT, PATIENCE, "the first rung")
    attempt.kill_supervisor()
    attempt.submit()
    outcome = attempt.outcome()
    assert (outcome.reason, outcome.stop_rung, outcome.stop_requested) == ("supervisor_lost", StopRung.KILL, True)


def test_adopted_tree_also_ends(attempts: Attempts) -> None:
    attempt = attempts.start("""
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                if os.fork():
                    os._exit(0)
                time.sleep(600)
        print("up", flush=True)
        time.sleep(600)
    """)
    attempt.waits_for(b"up")
    attempt.kill_supervisor()
    attempt.submit()
    until(lambda: attempt.runner()["fence"] == 2, PATIENCE, "the second supervisor")
    attempt.stop(terminate=0.5)
    attempt.outcome()
    assert list(attempt.executor.survivors(attempt.ref)) == []


def test_superseded_supervisor_ends_its_trainer_and_leaves_no_outcome(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    (attempt.directory / "fence").write_text("7")
    write_json(str(attempt.directory / "runner.json"), {**attempt.runner(), "fence": 7, "trainer": None})
    until(lambda: not attempt.executor.survivors(attempt.ref), PATIENCE, "the end of the trainer")
    process = attempt.executor._started[attempt.directory].process
    assert process.wait(PATIENCE) == 4
    assert not (attempt.directory / "exit.json").exists()


def test_superseded_supervisor_leaves_a_trainer_that_its_successor_has_adopted(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    pid = attempt.trainer_pid()
    process = attempt.executor._started[attempt.directory].process
    write_json(str(attempt.directory / "runner.json"), {**attempt.runner(), "fence": 7})
    (attempt.directory / "fence").write_text("7")
    assert process.wait(PATIENCE) == 4
    os.kill(pid, 0)
    assert not (attempt.directory / "exit.json").exists()


def test_outcome_written_by_the_trainer_is_set_aside_and_the_trainer_is_adopted(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    pid = attempt.trainer_pid()
    write_json(str(attempt.directory / "exit.json"), {"reason": "exited", "exit_code": 0, "fence": 1})
    assert attempt.observe().phase is Phase.RUNNING
    attempt.kill_supervisor()
    assert attempt.observe().phase is Phase.ABSENT
    attempt.submit()
    until(lambda: attempt.runner()["fence"] == 2, PATIENCE, "the second supervisor")
    assert attempt.trainer_pid() == pid
    attempt.stop(terminate=5.0)
    outcome = attempt.outcome()
    assert (outcome.exit_code, outcome.stop_requested) == (None, True)
    assert len(list(attempt.directory.glob(".exit.json.*.foreign"))) == 1


#: Temporary files of killed writers: the server's and those of an older version.
LEFT = (
    ".environment.json.0123456789abcdef.new",
    ".spec.json.0123456789abcdef.new",
    ".runner.json.0123456789abcdef.new",
    ".exit.json.0123456789abcdef.new",
    "environment.json.0123456789abcdef",
    "spec.json.0123456789abcdef",
    "runner.json.new",
)


def test_takeover_leaves_no_partial_file(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    attempt.trainer_pid()
    attempt.kill_supervisor()
    for name in LEFT:
        (attempt.directory / name).write_text("secret")
    attempt.submit()
    until(lambda: attempt.runner()["fence"] == 2, PATIENCE, "the second supervisor")
    left = [path.name for path in attempt.directory.iterdir() if path.is_file() and path.read_bytes() == b"secret"]
    assert left == []


def test_only_records_are_left_at_the_end(attempts: Attempts) -> None:
    attempt = attempts.start("print('up')")
    attempt.outcome()
    records = {"spec.json", "runner.json", "exit.json", "lock", "fence", "heartbeat", "supervisor.log"}
    tests = {"log", "trainer.py"}
    until(lambda: {path.name for path in attempt.directory.iterdir()} <= records | tests, PATIENCE, "the tidying up")
