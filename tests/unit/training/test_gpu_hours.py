"""When GPU hours return."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.domain.usage import DAY_SECONDS, GPUHold
from api.training.gpu_hours import when_below
from tests.unit.builders import NOW

AT = NOW.timestamp()
HOUR = 3600.0


def ago(gpus: int, began: float, ended: float | None) -> GPUHold:
    """Return GPUs held from this many hours ago until this many hours ago; None: still held."""
    return GPUHold(gpus, AT - began * HOUR, None if ended is None else AT - ended * HOUR)


def hours_until(holds: list[GPUHold], hours: float) -> float | None:
    found = when_below(holds, hours * HOUR, NOW)
    return None if found is None else (found - NOW) / timedelta(hours=1)


def test_hours_return_a_day_after_their_use():
    assert hours_until([ago(1, 10, 2)], 8) == pytest.approx(14)
    assert hours_until([ago(1, 10, 2)], 6) == pytest.approx(16)
    assert hours_until([ago(2, 10, 6)], 4) == pytest.approx(16)


def test_running_task_uses_hours_as_fast_as_others_return():
    assert hours_until([ago(1, 20, 10), ago(1, 5, None)], 10) is None
    assert hours_until([ago(3, 23, 18), ago(1, 5, None)], 15) == pytest.approx(4)


def test_endless_training_never_gets_below_the_limit():
    assert hours_until([ago(1, 30, None)], 20) is None


def test_quota_of_zero_is_never_available():
    assert hours_until([], 0) is None
    assert hours_until([ago(1, 2, 1)], 0) is None


HOLDS = st.lists(
    st.tuples(st.integers(1, 4), st.floats(0, 40), st.floats(0, 1) | st.none()).map(
        lambda drawn: ago(drawn[0], drawn[1], None if drawn[2] is None else drawn[1] * drawn[2])
    ),
    max_size=6,
)


def used_at(holds: list[GPUHold], at: float) -> float:
    """Return the GPU hours of the day before this time by their definition, if running attempts continue."""
    since = at - DAY_SECONDS
    spans = [
        (hold.gpus, max(hold.began_at, since), min(at if hold.ended_at is None else hold.ended_at, at))
        for hold in holds
    ]
    return sum(gpus * max(0.0, ended - began) for gpus, began, ended in spans) / HOUR


@settings(max_examples=300, deadline=None)
@given(holds=HOLDS, share=st.floats(0.05, 1))
def test_time_is_the_first_with_use_below_the_limit(holds: list[GPUHold], share: float):
    used = used_at(holds, AT)
    hours = used * share
    found = hours_until(holds, hours)
    if found is None:
        steps = [AT + HOUR * step / 4 for step in range(1, 400)]
        assert hours <= 0 or min(used_at(holds, step) for step in steps) > hours - 1e-6
        return
    assert used_at(holds, AT + found * HOUR) == pytest.approx(hours, abs=1e-3)
    for part in (0.1, 0.5, 0.9, 0.999):
        assert used_at(holds, AT + part * found * HOUR) >= hours - 1e-3
