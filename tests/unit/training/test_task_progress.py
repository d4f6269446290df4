"""Progress of tasks of every kind."""

import pytest

from api.errors import TaskNotFound
from api.training.store import TaskStore
from api.training.task_progress import ProgressAnswers
from tests.unit.trainings import TrainingMachine, steps


def test_progress_is_available_for_every_kind(machine: TrainingMachine):
    machine.run_errand()
    machine.prints(steps(1, 2), "e")
    machine.train()
    assert machine.parts.progress.get_progress("e").progress.current_step == 2


def test_training_store_does_not_find_other_kinds(machine: TrainingMachine):
    machine.put_errand()
    with pytest.raises(TaskNotFound):
        machine.parts.service.get_progress("e")


def test_task_without_gpus_has_a_waiting_reason(machine: TrainingMachine):
    for number in range(60):
        machine.put_errand(f"e{number}")
    machine.train()
    waits = machine.parts.progress.get_progress("e59")
    assert isinstance(machine.parts.progress, ProgressAnswers)
    assert waits.waiting_reason_code is not None
    assert waits.waiting_reason_code.code == "preprocess_parallel"
    assert isinstance(machine.tasks, TaskStore)
