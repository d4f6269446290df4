"""The figures of rehearsals."""

import pytest

from api.domain.tasks.rehearsal import PlannedRehearsal
from api.training.attempts.rehearsal_result import count_checkpoints


def simulated(minutes: float, between: int, total: int, pace: float, each: float) -> int:
    """Return the checkpoints of a training like the trainer's: after epochs, and when the last one is old."""
    now, last, saved = 0.0, None, 0
    for step in range(1, total + 1):
        now += pace
        if step % between == 0 or step == total:
            is_due = True
        else:
            last = now if last is None else last
            is_due = now - last > 60 * minutes
        if is_due:
            last, saved, now = now, saved + 1, now + each
    return saved


@pytest.mark.parametrize(
    ("minutes", "between", "total", "pace", "each"),
    [
        (10, 1000, 1000, 5, 60),
        (10, 1000, 1000, 5, 0.5),
        (1, 100, 1000, 0.2, 1),
        (0.5, 400, 1000, 3, 20),
        (60, 100, 1000, 5, 60),
        (5, 1000, 1000, 0.01, 1),
    ],
)
def test_checkpoints_by_time_are_counted_as_the_trainer_saves_them(
    minutes: float, between: int, total: int, pace: float, each: float
):
    planned = PlannedRehearsal(checkpoint_minutes=minutes, checkpoint_steps=between)
    found = count_checkpoints(planned, total, total * pace, each)
    assert found == pytest.approx(simulated(minutes, between, total, pace, each), rel=0.1, abs=1)


def test_checkpoints_without_a_time_are_those_of_the_plan():
    assert count_checkpoints(PlannedRehearsal(checkpoints=4), 1000, 5000.0, 60.0) == 4
    assert count_checkpoints(PlannedRehearsal(), 1000, 5000.0, 60.0) == 0


def test_saving_that_takes_longer_than_its_period_follows_each_step():
    assert count_checkpoints(PlannedRehearsal(checkpoint_minutes=0.5), 100, 500.0, 45.0) == 100
