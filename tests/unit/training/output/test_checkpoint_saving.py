"""Saving a checkpoint on request."""

import shutil

import pytest

from api.domain.tasks.training import EventKind
from api.errors import NotTraining, Unavailable
from tests.unit.trainings import TrainingMachine, steps


@pytest.fixture
def training(machine: TrainingMachine) -> TrainingMachine:
    """A training that makes steps in a known run directory."""
    machine.run()
    machine.saves(1)
    machine.prints(steps(1, 2))
    machine.clock.advance(6.0)
    machine.train()
    return machine


def test_trainer_gets_one_signal_file(training: TrainingMachine):
    for _ in range(2):
        training.parts.services.saving.save("a", "ann")
    run_dir = training.attempt().run_dir
    assert run_dir is not None
    assert [path.name for path in training.files().output.glob("*/save*")] == ["save"]
    assert training.messages(EventKind.CHANGE) == ["a checkpoint was requested"]


def test_loading_training_cannot_save_yet(machine: TrainingMachine):
    machine.run()
    with pytest.raises(NotTraining, match="Try again when it trains"):
        machine.parts.services.saving.save("a", "ann")


def test_unwritable_directory_is_reported(training: TrainingMachine):
    shutil.rmtree(next(training.files().output.glob("2*")))
    with pytest.raises(Unavailable, match="cannot be written"):
        training.parts.services.saving.save("a", "ann")
    assert training.messages(EventKind.CHANGE) == []
