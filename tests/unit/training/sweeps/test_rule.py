"""The rule that stops unpromising trainings of a sweep."""

import math

import pytest

from api.domain.tasks.sweep import EarlyStop
from api.training.sweeps.rule import Curve, Curves, judge

RULE = EarlyStop()
STEPS = range(1, 51)


def flat(loss: float, until: int = 50, total: int | None = 100, evaluation: float | None = None) -> Curves:
    """Return a training with the same loss at every step, and evaluations every ten."""
    steps = range(1, until + 1)
    evaluations = {} if evaluation is None else {"eval/loss": Curve(steps[::10], [evaluation] * len(steps[::10]))}
    return Curves(total, Curve(steps, [loss] * len(steps)), evaluations)


OTHERS = [flat(0.1), flat(0.2), flat(0.3)]


def test_loss_above_the_median_by_more_than_the_margin_is_unpromising():
    found = judge(flat(0.23), OTHERS, RULE)
    assert found is not None
    assert found.said.params["median"] == "0.2"
    assert judge(flat(0.21), OTHERS, RULE) is None
    assert judge(flat(0.23), OTHERS, EarlyStop(margin=0.2)) is None


@pytest.mark.parametrize(
    ("own", "others"),
    [
        (flat(9.0, until=29), OTHERS),  # too early
        (flat(9.0, total=None), OTHERS),  # unknown total
        (flat(9.0, until=0), OTHERS),  # no step
        (flat(9.0), [flat(0.1), flat(0.2, until=29)]),  # only one other has got that far
        (flat(9.0), [flat(0.1)]),
        (flat(math.nan), OTHERS),  # another check reports NaN
        (flat(9.0), [flat(0.1), flat(math.nan)]),
    ],
)
def test_unknown_comparison_stops_nothing(own: Curves, others: list[Curves]):
    assert judge(own, others, RULE) is None


def test_leading_training_is_compared_where_enough_others_have_been():
    found = judge(flat(9.0), [flat(0.1, until=45), flat(0.2, until=40), flat(0.3, until=35)], RULE)
    assert found is not None
    assert (found.said.params["step"], found.said.params["others"]) == (40, 2)


def test_only_the_latest_steps_count():
    bad_start = Curves(100, Curve(STEPS, [9.0] * 30 + [0.15] * 20))
    assert judge(bad_start, OTHERS, RULE) is None
    bad_end = Curves(100, Curve(STEPS, [0.1] * 30 + [0.5] * 20))
    assert judge(bad_end, OTHERS, RULE) is not None


def test_evaluation_loss_counts_instead_of_the_training_loss():
    others = [flat(0.1, evaluation=0.4), flat(0.1, evaluation=0.5)]
    assert judge(flat(9.0, evaluation=0.4), others, RULE) is None
    found = judge(flat(0.0, evaluation=0.6), others, RULE)
    assert found is not None
    assert found.said.params["kind"]["code"] == "sweep_evaluation_loss"


def test_training_loss_counts_where_others_have_no_evaluations():
    assert judge(flat(9.0, evaluation=0.1), OTHERS, RULE) is not None
    assert judge(flat(0.1, evaluation=9.0), OTHERS, RULE) is None
