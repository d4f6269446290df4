"""Results are recorded beside the training loop."""

from pathlib import Path
from typing import Any

import pytest

from api.datasets.preparation.result_recorder import MAX_RETRY_SECONDS, ResultRecorder
from api.domain.tasks.training import TrainingTask
from api.errors import DatabaseUnavailable, DatasetNotFound
from api.training.attempts.task_results import TaskResult
from api.util.clock import FakeClock
from tests.unit.trainings import TrainingMachine


class PreparedRecorder:
    """Returns prepared results, or raises prepared errors."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.taken: list[str] = []

    def record(self, task: TrainingTask, output_dir: Path) -> TaskResult:
        if self.fault is not None:
            raise self.fault
        self.taken.append(task.task_id)
        return TaskResult({"version": 1})


@pytest.fixture
def recorder() -> PreparedRecorder:
    return PreparedRecorder()


@pytest.fixture
def woken() -> list[int]:
    return []


@pytest.fixture
def recording(recorder: PreparedRecorder, clock: FakeClock, woken: list[int]) -> ResultRecorder:
    return ResultRecorder({"errand": recorder}, clock, lambda: woken.append(1))


@pytest.fixture
def task(machine: TrainingMachine) -> TrainingTask:
    machine.put_errand()
    return machine.task("e")


def ask(recording: ResultRecorder, task: TrainingTask) -> Any:
    return recording.collect(task, Path("/output"))


def test_first_call_starts_recording_and_a_later_one_returns_the_result(
    recording: ResultRecorder, task: TrainingTask, recorder: PreparedRecorder, woken: list[int]
):
    assert ask(recording, task) is None
    assert ask(recording, task) is None
    recording.run_once()
    assert (recorder.taken, woken) == (["e"], [1])
    assert ask(recording, task) == TaskResult({"version": 1})


@pytest.mark.parametrize("fault", [OSError(5, "EIO"), DatabaseUnavailable()])
def test_temporary_failure_is_retried_for_a_while(
    recording: ResultRecorder, task: TrainingTask, recorder: PreparedRecorder, clock: FakeClock, fault: Exception
):
    recorder.fault = fault
    ask(recording, task)
    recording.run_once()
    assert ask(recording, task) is None
    clock.advance(MAX_RETRY_SECONDS + 1)
    recording.run_once()
    assert ask(recording, task).cause is not None


@pytest.mark.parametrize("fault", [DatasetNotFound(), ValueError("None of its 3 items can be read")])
def test_permanent_failure_fails_the_task_with_the_reason(
    recording: ResultRecorder, task: TrainingTask, recorder: PreparedRecorder, fault: Exception
):
    recorder.fault = fault
    ask(recording, task)
    recording.run_once()
    cause = ask(recording, task).cause
    assert str(fault) in cause.detail


def test_task_of_another_trainer_has_no_result(recorder: PreparedRecorder, clock: FakeClock, task: TrainingTask):
    assert ResultRecorder({}, clock, lambda: None).collect(task, Path("/output")) == TaskResult()


def test_thread_is_started_and_stopped(recording: ResultRecorder):
    recording.start()
    recording.stop()
