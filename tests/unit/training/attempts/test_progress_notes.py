"""Progress of running attempts is stored in several rounds."""

import pytest

from api.training.attempts import progress_notes
from tests.unit.trainings import TrainingMachine, steps


def test_progress_of_many_attempts_is_stored_in_several_rounds(
    machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress_notes, "MOST_OF_A_ROUND", 2)
    for task_id in "abc":
        machine.run(task_id)
        machine.prints(steps(7), task_id)
    machine.clock.advance(progress_notes.PROGRESS_SECONDS)
    noted = []
    for _ in range(2):
        machine.reconciler.tick()
        progress = [machine.task(task_id).progress for task_id in "abc"]
        noted.append([each and each.progress.current_step for each in progress])
    assert noted == [[7, 7, None], [7, 7, 7]]
