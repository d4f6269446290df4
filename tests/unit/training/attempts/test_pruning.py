import errno

import pytest

from api.domain.training import EventKind
from api.training.attempts.pruning import prune_checkpoints
from tests.unit.trainings import TrainingMachine


@pytest.fixture
def watched(machine: TrainingMachine) -> TrainingMachine:
    """A training that keeps two checkpoints and has three."""
    machine.run(keep_last_checkpoints=2)
    machine.saves(5, 10, 15)
    machine.watch().poll()
    machine.watch().look_for_checkpoints()
    return machine


def test_the_newest_are_kept_and_each_removal_is_told(watched: TrainingMachine):
    prune_checkpoints(watched.tasks, watched.watch(), watched.clock.now())
    left = sorted(path.name for path in watched.files().output.glob("*/global_step*"))
    assert left == ["global_step10", "global_step15"]
    assert watched.messages(EventKind.CHECKPOINT) == ["global_step5 was removed: keep_last_checkpoints is 2"]


def test_as_many_as_are_asked_for_are_left_alone(machine: TrainingMachine):
    machine.run(keep_last_checkpoints=3)
    machine.saves(5, 10, 15)
    machine.watch().poll()
    machine.watch().look_for_checkpoints()
    prune_checkpoints(machine.tasks, machine.watch(), machine.clock.now())
    assert len(list(machine.files().output.glob("*/global_step*"))) == 3


def test_a_disk_that_refuses_is_asked_again_at_the_next_look(
    watched: TrainingMachine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(*_: object) -> tuple[str, ...]:
        raise OSError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(watched.watch().trainer, "prune", refuse)
        prune_checkpoints(watched.tasks, watched.watch(), watched.clock.now())
    assert "cannot be removed" in caplog.text
    assert watched.messages(EventKind.CHECKPOINT) == []
    prune_checkpoints(watched.tasks, watched.watch(), watched.clock.now())
    assert len(watched.messages(EventKind.CHECKPOINT)) == 1
