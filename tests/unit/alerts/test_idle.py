"""A machine is idle if nothing runs, waits or is being uploaded. Unknown is not idle."""

import math

import pytest

from api.domain.task import TaskType
from tests.unit.alerts.acting import ActingMachine
from tests.unit.trainings import TrainingMachine


@pytest.fixture
def acting(machine: TrainingMachine) -> ActingMachine:
    return ActingMachine(machine)


def idle(acting: ActingMachine) -> float:
    acting.clock.advance(20)
    acting.machine.gpus._monitor.sweep()
    return acting.idle.fact()


def test_machine_is_not_idle_right_after_its_start(acting: ActingMachine):
    assert idle(acting) == 0
    acting.pass_start_time()
    assert idle(acting) == 1
    assert acting.idle.find_work() is None


def test_queued_and_running_tasks_keep_it_busy(acting: ActingMachine):
    acting.pass_start_time()
    acting.machine.put()
    assert idle(acting) == 0
    assert acting.idle.find_work() == "1 task waits"
    acting.machine.train()
    assert idle(acting) == 0
    assert acting.idle.find_work() == "1 attempt runs"


def test_program_on_a_gpu_keeps_it_busy(acting: ActingMachine):
    acting.pass_start_time()
    acting.machine.gpus.tasks.register([0], TaskType.EXTERNAL, "ext_1")
    assert idle(acting) == 0
    assert acting.idle.find_work() == "ext_1 uses GPU 0"


def test_held_gpu_does_not_keep_it_busy(acting: ActingMachine):
    acting.pass_start_time()
    acting.machine.parts.holds.hold_gpu("0", "why", "root")
    assert idle(acting) == 1


def test_unreadable_gpu_is_not_idle(acting: ActingMachine):
    acting.pass_start_time()
    acting.clock.advance(100_000)
    acting.machine.gpus.check_freshness()
    assert math.isnan(acting.idle.fact())
    assert acting.idle.find_work() == "the use of its GPUs is unknown"
