"""What a task without GPUs has made is taken up before it counts as completed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.db.database import Database, sqlite_url
from api.domain.cause import Cause, CauseCode
from api.domain.task import TaskType
from api.domain.training import EventKind, TaskStatus
from api.executors.fake import outcome
from api.training.attempts.harvest import FakeHarvester, Harvest
from api.util.clock import FakeClock
from tests.unit.trainings import TrainingMachine, steps

DONE = outcome(phrases=["TRAINING COMPLETE!"], last_step=3)


@pytest.fixture
def harvester() -> FakeHarvester:
    return FakeHarvester()


@pytest.fixture
def machine(
    migrated_file: Path, tmp_path: Path, clock: FakeClock, harvester: FakeHarvester
) -> Iterator[TrainingMachine]:
    shutil.copy(migrated_file, tmp_path / "database.sqlite")
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    made = TrainingMachine(database, tmp_path, clock, harvester=harvester)
    yield made
    made.close()
    database.close()


def finish(machine: TrainingMachine) -> None:
    machine.prints(steps(1, 2, 3), "e")
    machine.saves(3, task_id="e")
    machine.end("e", DONE)


def test_it_runs_until_what_it_made_is_taken_up(machine: TrainingMachine, harvester: FakeHarvester):
    machine.run_errand()
    finish(machine)
    assert machine.status("e") is TaskStatus.RUNNING
    harvester.given = Harvest({"dataset": "clips", "version": 2})
    machine.train()
    assert (machine.status("e"), machine.task("e").result) == (
        TaskStatus.COMPLETED,
        {"dataset": "clips", "version": 2},
    )
    assert set(harvester.asked) == {"e"}


def test_it_fails_when_what_it_made_cannot_be_taken_up(machine: TrainingMachine, harvester: FakeHarvester):
    harvester.given = Harvest(cause=Cause(CauseCode.TRAINER_ERROR, "The dataset is gone.", "Name another one."))
    machine.run_errand()
    finish(machine)
    failed = machine.task("e")
    assert (failed.status, failed.result) == (TaskStatus.FAILED, None)
    assert failed.cause is not None
    assert failed.cause.detail == "The dataset is gone."


def test_what_failed_by_itself_is_not_taken_up(machine: TrainingMachine, harvester: FakeHarvester):
    machine.run_errand()
    machine.end("e", outcome(exit_code=1))
    assert (machine.status("e"), harvester.asked) == (TaskStatus.FAILED, [])


def test_a_training_is_nobodys_harvest(machine: TrainingMachine, harvester: FakeHarvester):
    machine.run("a")
    machine.prints(steps(1, 2, 3))
    machine.saves(3)
    machine.end("a", DONE)
    assert (machine.status("a"), harvester.asked) == (TaskStatus.COMPLETED, [])


def test_its_stages_are_not_told_as_those_of_a_training(machine: TrainingMachine):
    machine.run_errand()
    machine.prints(steps(1), "e")
    machine.train()
    assert machine.messages(EventKind.STAGE, "e") == []
    assert machine.task("e").kind is TaskType.PREPROCESSING
