import math

import pytest

from api.alerts.loss_plateau import LossPlateau

TOTAL = 2000


def percents(losses: list[float], epoch: int = 3) -> float:
    plateau = LossPlateau()
    for step, loss in enumerate(losses, start=1):
        plateau.add(step, loss, TOTAL)
    return plateau.percent(len(losses), epoch, TOTAL)


def test_one_that_falls_is_no_plateau():
    assert percents([1.0 - step / 4000 for step in range(1500)]) == 0


@pytest.mark.parametrize("after", [0.5, 0.6], ids=["flat", "rising"])
def test_one_that_has_stopped_falling_says_for_how_long(after: float):
    falling = [1.0 - step / 2000 for step in range(1000)]
    assert percents([*falling, *[after] * 1000]) > 10


def test_nothing_is_said_before_enough_is_known():
    assert math.isnan(percents([0.5] * 300))
    assert math.isnan(percents([0.5] * 1500, epoch=2))
    assert math.isnan(LossPlateau().percent(None, 5, None))
