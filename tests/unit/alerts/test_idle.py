"""A machine is idle when nothing runs, waits or comes in; what is unknown is not idle."""

import math

import pytest

from api.domain.task import TaskType
from tests.unit.alerts.acting import ActingMachine
from tests.unit.trainings import TrainingMachine


@pytest.fixture
def acting(machine: TrainingMachine) -> ActingMachine:
    return ActingMachine(machine)


def look(acting: ActingMachine) -> float:
    acting.clock.advance(20)
    acting.machine.gpus._monitor.sweep()
    return acting.idle.fact()


def test_one_that_has_just_come_up_is_not_idle_yet(acting: ActingMachine):
    assert look(acting) == 0
    acting.come_up()
    assert look(acting) == 1
    assert acting.idle.why_not() is None


def test_what_waits_and_what_runs_keep_it_awake(acting: ActingMachine):
    acting.come_up()
    acting.machine.put()
    assert look(acting) == 0
    assert acting.idle.why_not() == "1 task waits"
    acting.machine.train()
    assert look(acting) == 0
    assert acting.idle.why_not() == "1 attempt runs"


def test_a_program_on_a_gpu_keeps_it_awake(acting: ActingMachine):
    acting.come_up()
    acting.machine.gpus.tasks.register([0], TaskType.EXTERNAL, "ext_1")
    assert look(acting) == 0
    assert acting.idle.why_not() == "ext_1 has GPU 0"


def test_a_gpu_that_is_held_back_does_not(acting: ActingMachine):
    acting.come_up()
    acting.machine.parts.holds.hold_gpu("0", "why", "root")
    assert look(acting) == 1


def test_what_nobody_can_read_is_not_idle(acting: ActingMachine):
    acting.come_up()
    acting.clock.advance(100_000)
    acting.machine.gpus.check_freshness()
    assert math.isnan(acting.idle.fact())
    assert acting.idle.why_not() == "who is at work on its GPUs is not known"
