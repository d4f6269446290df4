"""The contract of every executor, tested alike on this machine and on Slurm."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.tasks.training import StopRung
from api.executors.executor import Executor, Phase, StopOrder
from api.executors.local import LocalExecutor
from tests.e2e.slurm.attempts import QUICK_STOP, Run
from tests.patience import BUSY_SECONDS


@pytest.fixture(params=["local", "slurm"])
def executor(request: pytest.FixtureRequest) -> Executor:
    if request.param == "local":
        return LocalExecutor()
    return request.getfixturevalue("make_executor")()


@pytest.fixture
def run(executor: Executor, root: Path) -> Iterator[Run]:
    made = Run(root, executor)
    yield made
    made.end()


def test_attempt_is_absent_until_submitted_and_then_runs(run: Run) -> None:
    assert run.observe().phase is Phase.ABSENT
    run.submit()
    seen = run.wait_until_it_trains()
    assert seen.phase is Phase.RUNNING
    assert seen.supervisor is not None


def test_attempt_starts_once_however_often_it_is_submitted(run: Run) -> None:
    for _ in range(3):
        run.submit()
    run.wait_until_it_trains()
    run.submit()
    assert run.log().count("port") == 1


def test_outcome_is_what_the_supervisor_observed(executor: Executor, root: Path) -> None:
    run = Run(root, executor, "print('steps: 3'); print('SAVED'); raise SystemExit(7)")
    run.submit()
    outcome = run.wait_for_end()
    assert (outcome.reason, outcome.exit_code, outcome.last_step, outcome.phrases) == (
        "exited",
        7,
        3,
        frozenset({"SAVED"}),
    )
    run.submit()
    assert run.observe().phase is Phase.ENDED


def test_stop_with_checkpoint_lets_the_trainer_save(run: Run) -> None:
    run.submit()
    run.wait_until_it_trains()
    run.executor.stop(run.ref, StopOrder(run.signal_file, 20.0, 5.0))
    outcome = run.wait_for_end()
    assert (outcome.exit_code, outcome.stop_rung) == (0, StopRung.CHECKPOINT)
    assert outcome.phrases == {"SAVED"}


def test_stop_leaves_no_process_after_its_grace_period(run: Run) -> None:
    run.submit()
    run.wait_until_it_trains()
    began = time.monotonic()
    run.executor.stop(run.ref, QUICK_STOP)
    outcome = run.wait_for_end()
    assert outcome.stop_rung is StopRung.TERMINATE
    assert not run.executor.survivors(run.ref)
    assert time.monotonic() - began < QUICK_STOP.terminate_seconds + 5 + BUSY_SECONDS


def test_new_executor_finds_running_attempts(run: Run, request: pytest.FixtureRequest) -> None:
    run.submit()
    before = run.wait_until_it_trains()
    is_local = isinstance(run.executor, LocalExecutor)
    run.executor = LocalExecutor() if is_local else request.getfixturevalue("make_executor")()
    after = run.observe()
    assert (after.phase, after.process) == (Phase.RUNNING, before.process)
    run.submit()
    assert run.log().count("port") == 1


def test_one_observation_covers_many_attempts(executor: Executor, root: Path) -> None:
    runs = [Run(root, executor, "print('done')") for _ in range(4)]
    for run in runs:
        run.submit()
    for run in runs:
        run.wait_for_end()
    seen = executor.observe([run.ref for run in runs])
    assert {each.phase for each in seen.values()} == {Phase.ENDED}


def test_failed_start_has_a_reason(executor: Executor, root: Path) -> None:
    run = Run(root, executor)
    run.submission = replace(run.submission, argv=("/no/such/program", "--master_port", "1"))
    run.submit()
    outcome = run.wait_for_end()
    assert outcome.reason == "could_not_start"
