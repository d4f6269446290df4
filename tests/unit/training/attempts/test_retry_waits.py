from dataclasses import replace
from datetime import timedelta

import pytest

from api.domain.training import TaskSummary, TrainingPlan, TrainingRequest
from api.training.attempts.outcomes import LONGEST_WAIT
from api.training.attempts.retry_waits import RetryWaits
from api.training.preview import preview
from api.util.clock import FakeClock


def task(clock: FakeClock, wait: float) -> TaskSummary:
    made = preview("t", TrainingRequest("toy"), TrainingPlan("toy", "toy", 1), clock.now())
    return replace(made, not_before=clock.now() + timedelta(seconds=wait))


def wait_of(waits: RetryWaits, clock: FakeClock, waiting: TaskSummary) -> float:
    waits.note([waiting])
    return (waits.steady([waiting])[0].not_before - clock.now()).total_seconds()


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0, -15.0])
def test_wait_is_independent_of_the_wall_clock(clock: FakeClock, jump: float):
    waits, waiting = RetryWaits(clock), task(clock, 30)
    assert wait_of(waits, clock, waiting) == 30
    clock.advance(10)
    clock.jump(jump)
    assert wait_of(waits, clock, waiting) == 20
    clock.advance(21)
    assert wait_of(waits, clock, waiting) == 0


def test_wait_longer_than_any_retry_is_not_measured(clock: FakeClock):
    waiting = task(clock, LONGEST_WAIT + 1)
    assert RetryWaits(clock).steady([waiting]) == [waiting]


def test_wait_of_a_task_that_left_the_queue_is_forgotten(clock: FakeClock):
    waits, waiting = RetryWaits(clock), task(clock, 30)
    waits.note([waiting])
    waits.note([])
    clock.jump(-20)
    assert wait_of(waits, clock, waiting) == 50


def test_reading_neither_starts_nor_ends_a_wait(clock: FakeClock):
    waits, noted, asked = RetryWaits(clock), task(clock, 30), replace(task(clock, 40), task_id="asked")
    waits.note([noted])
    waits.steady([asked])
    clock.jump(-20)
    again, other = waits.steady([noted, asked])
    assert (again.not_before - clock.now()).total_seconds() == 30
    assert (other.not_before - clock.now()).total_seconds() == 60
