import errno

import pytest

from api.domain.training import EventKind
from api.training.attempts.pruning import prune_checkpoints
from tests.unit.trainings import TrainingMachine


@pytest.fixture
def watched(machine: TrainingMachine) -> TrainingMachine:
    """A training with keep_last_checkpoints 2 that has three checkpoints."""
    machine.run(keep_last_checkpoints=2)
    machine.saves(5, 10, 15)
    machine.watch().poll()
    machine.watch().find_new_checkpoints()
    return machine


def test_newest_checkpoints_stay_and_each_deletion_is_recorded(watched: TrainingMachine):
    prune_checkpoints(watched.tasks, watched.watch(), watched.clock.now())
    left = sorted(path.name for path in watched.files().output.glob("*/global_step*"))
    assert left == ["global_step10", "global_step15"]
    assert watched.messages(EventKind.CHECKPOINT) == ["global_step5 was deleted because keep_last_checkpoints is 2"]


def test_requested_number_of_checkpoints_stays(machine: TrainingMachine):
    machine.run(keep_last_checkpoints=3)
    machine.saves(5, 10, 15)
    machine.watch().poll()
    machine.watch().find_new_checkpoints()
    prune_checkpoints(machine.tasks, machine.watch(), machine.clock.now())
    assert len(list(machine.files().output.glob("*/global_step*"))) == 3


def test_failed_deletion_is_retried_at_the_next_check(
    watched: TrainingMachine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(*_: object) -> tuple[str, ...]:
        raise OSError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(watched.watch().trainer, "prune", refuse)
        prune_checkpoints(watched.tasks, watched.watch(), watched.clock.now())
    assert "cannot delete" in caplog.text
    assert watched.messages(EventKind.CHECKPOINT) == []
    prune_checkpoints(watched.tasks, watched.watch(), watched.clock.now())
    assert len(watched.messages(EventKind.CHECKPOINT)) == 1
