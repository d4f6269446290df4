"""The result of a task without GPUs is recorded before the task completes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.db.database import Database, sqlite_url
from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import EventKind, TaskStatus
from api.executors.fake import outcome
from api.training.attempts.task_results import FakeTaskResultRecorder, TaskResult
from api.util.clock import FakeClock
from tests.unit.trainings import TrainingMachine, steps

DONE = outcome(phrases=["TRAINING COMPLETE!"], last_step=3)


@pytest.fixture
def recorder() -> FakeTaskResultRecorder:
    return FakeTaskResultRecorder()


@pytest.fixture
def machine(
    migrated_file: Path, tmp_path: Path, clock: FakeClock, recorder: FakeTaskResultRecorder
) -> Iterator[TrainingMachine]:
    shutil.copy(migrated_file, tmp_path / "database.sqlite")
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    made = TrainingMachine(database, tmp_path, clock, recorder=recorder)
    yield made
    made.close()
    database.close()


def finish(machine: TrainingMachine) -> None:
    machine.prints(steps(1, 2, 3), "e")
    machine.saves(3, task_id="e")
    machine.end("e", DONE)


def test_task_runs_until_its_result_is_recorded(machine: TrainingMachine, recorder: FakeTaskResultRecorder):
    machine.run_errand()
    finish(machine)
    assert machine.status("e") is TaskStatus.RUNNING
    recorder.given = TaskResult({"dataset": "clips", "version": 2})
    machine.train()
    assert (machine.status("e"), machine.task("e").result) == (
        TaskStatus.COMPLETED,
        {"dataset": "clips", "version": 2},
    )
    assert set(recorder.requested) == {"e"}


def test_task_fails_if_its_result_cannot_be_recorded(machine: TrainingMachine, recorder: FakeTaskResultRecorder):
    recorder.given = TaskResult(cause=Cause(CauseCode.TRAINER_ERROR, "The dataset is gone.", "Name another one."))
    machine.run_errand()
    finish(machine)
    failed = machine.task("e")
    assert (failed.status, failed.result) == (TaskStatus.FAILED, None)
    assert failed.cause is not None
    assert failed.cause.detail == "The dataset is gone."


def test_result_of_a_failed_task_is_not_recorded(machine: TrainingMachine, recorder: FakeTaskResultRecorder):
    machine.run_errand()
    machine.end("e", outcome(exit_code=1))
    assert (machine.status("e"), recorder.requested) == (TaskStatus.FAILED, [])


def test_training_has_no_result_recorder(machine: TrainingMachine, recorder: FakeTaskResultRecorder):
    machine.run("a")
    machine.prints(steps(1, 2, 3))
    machine.saves(3)
    machine.end("a", DONE)
    assert (machine.status("a"), recorder.requested) == (TaskStatus.COMPLETED, [])


def test_stages_of_other_tasks_are_not_recorded_as_training_stages(machine: TrainingMachine):
    machine.run_errand()
    machine.prints(steps(1), "e")
    machine.train()
    assert machine.messages(EventKind.STAGE, "e") == []
    assert machine.task("e").kind is TaskType.PREPROCESSING
