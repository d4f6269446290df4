import pytest

from api.domain.training import TaskStatus
from api.errors import TaskNotFound
from api.executors.fake import outcome
from api.logs.task_end import find_end
from tests.unit.trainings import TrainingMachine


def test_what_goes_on_has_no_end(machine: TrainingMachine):
    machine.put()
    assert find_end(machine.tasks, machine.attempts, "a") is None
    machine.train()
    assert find_end(machine.tasks, machine.attempts, "a") is None


def test_an_end_is_that_of_the_latest_attempt(machine: TrainingMachine):
    machine.run()
    machine.end(how=outcome(exit_code=3))
    end = find_end(machine.tasks, machine.attempts, "a")
    assert end is not None
    assert (end.task_id, end.status, end.exit_code) == ("a", TaskStatus.FAILED, 3)
    assert end.failure is not None


def test_one_that_was_stopped_while_it_waited_has_no_exit_code(machine: TrainingMachine):
    machine.put()
    machine.ask_to_stop()
    end = find_end(machine.tasks, machine.attempts, "a")
    assert end is not None
    assert (end.status, end.exit_code, end.failure) == (TaskStatus.STOPPED, None, None)


def test_an_unknown_task_is_not_found(machine: TrainingMachine):
    with pytest.raises(TaskNotFound):
        find_end(machine.tasks, machine.attempts, "nobody")
