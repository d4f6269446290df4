"""Stops of tasks of every kind."""

import pytest

from api.domain.tasks.training import StopRung, TaskStatus
from api.errors import TaskNotStoppable
from api.training.stops import TaskStops
from tests.unit.trainings import TrainingMachine


@pytest.fixture
def stops(machine: TrainingMachine) -> TaskStops:
    return machine.parts.stops


def test_queued_task_without_gpus_stops_immediately(machine: TrainingMachine, stops: TaskStops):
    machine.put_errand()
    assert stops.request_stop("e", force=False, timeout_seconds=None, actor="ann") is None
    assert machine.status("e") is TaskStatus.STOPPED


def test_running_task_without_gpus_gets_a_stop_order(machine: TrainingMachine, stops: TaskStops):
    machine.run_errand()
    stops.request_stop("e", force=True, timeout_seconds=None, actor="ann")
    machine.train()
    stop = machine.task("e").stop
    assert machine.status("e") is TaskStatus.STOPPING
    assert stop is not None
    assert stop.rung is StopRung.TERMINATE
    assert [ref.uid for ref, _ in machine.executor.orders] == ["e.1"]


def test_finished_task_cannot_be_stopped(machine: TrainingMachine, stops: TaskStops):
    machine.run_errand()
    machine.end("e")
    with pytest.raises(TaskNotStoppable):
        stops.request_stop("e", force=False, timeout_seconds=None, actor="ann")
