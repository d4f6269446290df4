import pytest

from api.domain.training import TaskStatus
from api.errors import TaskNotFound
from api.executors.fake import outcome
from api.logs.task_end import find_end
from tests.unit.trainings import TrainingMachine


def test_running_task_has_no_end(machine: TrainingMachine):
    machine.put()
    assert find_end(machine.tasks, machine.attempts, "a") is None
    machine.train()
    assert find_end(machine.tasks, machine.attempts, "a") is None


def test_end_is_that_of_the_latest_attempt(machine: TrainingMachine):
    machine.run()
    machine.end(how=outcome(exit_code=3))
    end = find_end(machine.tasks, machine.attempts, "a")
    assert end is not None
    assert (end.task_id, end.status, end.exit_code) == ("a", TaskStatus.FAILED, 3)
    assert end.failure is not None


def test_task_that_was_stopped_in_the_queue_has_no_exit_code(machine: TrainingMachine):
    machine.put()
    machine.request_task_stop()
    end = find_end(machine.tasks, machine.attempts, "a")
    assert end is not None
    assert (end.status, end.exit_code, end.failure) == (TaskStatus.STOPPED, None, None)


def test_unknown_task_is_not_found(machine: TrainingMachine):
    with pytest.raises(TaskNotFound):
        find_end(machine.tasks, machine.attempts, "nobody")
