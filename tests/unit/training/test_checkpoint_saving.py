"""A checkpoint at the wish of a person."""

import shutil

import pytest

from api.domain.training import EventKind
from api.errors import NotTraining, TaskNotFound, Unavailable
from tests.unit.trainings import TrainingMachine, steps


@pytest.fixture
def training(machine: TrainingMachine) -> TrainingMachine:
    """A training that makes steps, and whose run directory is known."""
    machine.run()
    machine.saves(1)
    machine.prints(steps(1, 2))
    machine.clock.advance(6.0)
    machine.train()
    return machine


def test_the_trainer_is_asked_by_its_file_and_once(training: TrainingMachine):
    for _ in range(2):
        training.parts.saving.save("a", "ann")
    run_dir = training.attempt().run_dir
    assert run_dir is not None
    assert [path.name for path in training.files().output.glob("*/save*")] == ["save"]
    assert training.messages(EventKind.CHANGE) == ["asked to save a checkpoint now"]


def test_what_does_not_train_saves_nothing(machine: TrainingMachine):
    with pytest.raises(TaskNotFound):
        machine.parts.saving.save("a", "ann")
    machine.put()
    with pytest.raises(NotTraining, match="is queued"):
        machine.parts.saving.save("a", "ann")


def test_one_that_loads_is_asked_later(machine: TrainingMachine):
    machine.run()
    with pytest.raises(NotTraining, match="ask again when it trains"):
        machine.parts.saving.save("a", "ann")


def test_a_directory_that_cannot_be_written_is_told(training: TrainingMachine):
    shutil.rmtree(next(training.files().output.glob("2*")))
    with pytest.raises(Unavailable, match="cannot be written"):
        training.parts.saving.save("a", "ann")
    assert training.messages(EventKind.CHANGE) == []
