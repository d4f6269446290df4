"""A suspended supervisor is noticed, ended and replaced, while its trainer continues."""

import os
import signal
from pathlib import Path

from api.domain.tasks.training import StopRung
from api.executors.attempt.processes import is_alive
from api.executors.executor import Phase
from api.executors.local import LocalExecutor
from tests.e2e.server import until
from tests.e2e.supervisor.attempts import PATIENCE, Attempt, Attempts

SCRIPT = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


def _start(attempts: Attempts, script: str) -> Attempt:
    attempt = attempts.prepare(script)
    attempt.executor = LocalExecutor(frozen_seconds=3.0)
    attempt.submit()
    return attempt


def _freeze(attempt: Attempt) -> int:
    attempt.waits_for(b"up")
    attempt.trainer_pid()
    pid = int(attempt.runner()["supervisor"]["pid"])
    os.kill(pid, signal.SIGSTOP)
    return pid


def _reconcile(attempt: Attempt) -> Phase:
    """Submit absent attempts again, as the loop does."""
    phase = attempt.observe().phase
    if phase is Phase.ABSENT:
        attempt.submit()
    return phase


def test_frozen_supervisor_is_replaced_and_a_forced_stop_is_carried_out(attempts: Attempts) -> None:
    attempt = _start(attempts, SCRIPT)
    frozen = _freeze(attempt)
    trainer, start = attempt.trainer_pid(), attempt.runner()["trainer"]["start"]
    attempt.stop(terminate=0.0)
    until(lambda: _reconcile(attempt) is Phase.ENDED, PATIENCE, "the forced stop")
    outcome = attempt.outcome()
    assert (outcome.reason, outcome.stop_rung) == ("supervisor_lost", StopRung.KILL)
    assert not Path(f"/proc/{frozen}").exists()
    assert not is_alive(trainer, start)


def test_trainer_outlives_the_replacement_of_its_frozen_supervisor(attempts: Attempts) -> None:
    attempt = _start(attempts, SCRIPT)
    frozen, trainer = _freeze(attempt), attempt.trainer_pid()
    until(lambda: _reconcile(attempt) and attempt.runner()["supervisor"]["pid"] != frozen, PATIENCE, "another one")
    process = attempt.observe().process
    assert process is not None
    assert process.pid == trainer


def test_healthy_supervisor_is_not_replaced(attempts: Attempts) -> None:
    attempt = _start(attempts, "import time; print('up', flush=True); time.sleep(8)")
    attempt.waits_for(b"up")
    assert attempt.outcome().reason == "exited"
    assert attempt.file("exit.json")["fence"] == 1
