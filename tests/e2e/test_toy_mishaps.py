"""The toy trainer's ways to fail, to hang and to leave processes behind."""

import math
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from api.domain.tasks.cause import CauseCode
from api.domain.tasks.training import ResumeOptions
from tests.e2e.toy_runs import Run, creating, until


@pytest.fixture
def create(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    with creating(tmp_path) as make:
        yield make


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("error", CauseCode.TRAINER_ERROR),
        ("cuda_oom", CauseCode.CUDA_OUT_OF_MEMORY),
        ("port_in_use", CauseCode.PORT_IN_USE),
        ("missing_file", CauseCode.MISSING_FILE),
        ("disk_full", CauseCode.DISK_FULL),
        ("gpu_lost", CauseCode.GPU_LOST),
        ("host_oom", CauseCode.HOST_OUT_OF_MEMORY),
        ("nccl_timeout", CauseCode.NCCL_TIMEOUT),
        ("terminated", CauseCode.KILLED),
        ("crash", CauseCode.TRAINER_ERROR),
        ("quit", CauseCode.QUIT_UNASKED),
        ("exit_zero", CauseCode.DID_NOT_TRAIN),
    ],
)
@pytest.mark.parametrize("step", [0, 4])
def test_every_failure_is_diagnosed(create, how: str, code: CauseCode, step: int):
    run = create(toy={"fail_at_step": step, "fail_with": how})
    run.start()
    assert run.diagnose().code is code
    assert run.read()[0].progress.step == (step - 1 if step else None)


def test_nan_persists_and_training_continues(create):
    run = create(epochs=2, toy={"fail_at_step": 11, "fail_with": "nan"})
    run.start()
    assert run.wait() == 0
    progress = run.read()[0].progress
    assert (progress.nan_in_a_row, math.isnan(progress.loss)) == (10, True)


def test_failing_once_lets_the_next_attempt_pass(create):
    run = create(toy={"fail_at_step": 15, "fail_once": True})
    run.start()
    assert run.wait() == 1
    run.start(ResumeOptions())
    assert run.wait() == 0
    assert run.read()[0].progress.first_step == 11


def test_sigterm_ends_it_immediately(create):
    run = create(toy={"step_seconds": 1})
    run.start()
    until(lambda: run.run_dir is not None, "the run directory")
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == -signal.SIGTERM


@pytest.mark.parametrize(
    ("stage", "last"), [("loading", "toy trainer"), ("caching", "[CACHE]"), ("training", "Global")]
)
def test_hang_stays_in_its_stage(create, stage: str, last: str):
    run = create(toy={"hang_in": stage, "ignore_sigterm": True})
    run.start()
    until(lambda: run.log.exists() and run.lines() and run.lines()[-1].startswith(last), f"the end of {stage}")
    run.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        run.process.wait(0.3)
    run.process.kill()
    run.wait()


def test_every_gpu_has_a_process_that_ends_with_the_training(create):
    run = create(gpus=3, toy={"step_seconds": 0.05})
    run.start()
    until(lambda: len(run.processes()) == 3, "three ranks")
    assert run.wait() == 0
    until(lambda: not run.processes(), "the ranks to end")
    assert run.lines().count("Global batch size = 192") == 3


def test_ranks_end_when_the_first_is_killed(create):
    run = create(gpus=2, toy={"step_seconds": 1})
    run.start()
    until(lambda: run.run_dir is not None and len(run.processes()) == 2, "two ranks")
    run.process.kill()
    run.wait()
    until(lambda: not run.processes(), "the other rank to end")


def test_nasty_children_outlive_it_and_ignore_sigterm(create):
    run = create(epochs=1, toy={"spawn_children": 3, "nasty_children": True})
    run.start()
    assert run.wait() == 0
    left = run.processes()
    assert len(left) == 3
    assert len({os.getsid(process.pid) for process in left}) == 2
    for process in left:
        process.terminate()
    gone, alive = psutil.wait_procs(left, timeout=0.5)
    assert (len(gone), len(alive)) == (0, 3)


def test_plain_children_end_with_it(create):
    run = create(epochs=1, toy={"spawn_children": 2})
    run.start()
    assert run.wait() == 0
    until(lambda: not run.processes(), "the children to end")
