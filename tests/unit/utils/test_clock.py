import math
from datetime import UTC, datetime, timedelta

import pytest

from api.utils.clock import FakeClock, SystemClock, time_of


def test_system_clock_tells_utc():
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_system_clock_never_goes_back():
    clock = SystemClock()
    first = clock.monotonic()
    assert clock.monotonic() >= first


def test_fake_clock_stands_still(clock: FakeClock):
    before = clock.now(), clock.monotonic()
    assert (clock.now(), clock.monotonic()) == before


def test_fake_clock_moves_both_times_by_the_same():
    clock = FakeClock(datetime(2026, 11, 24, tzinfo=UTC))
    began = clock.monotonic()
    clock.advance(90.5)
    assert clock.monotonic() - began == 90.5
    assert clock.now() == datetime(2026, 11, 24, 0, 1, 30, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "year"),
    [(0, 1970), (1.8e9, 2027), (1e300, 9999), (math.inf, 9999), (-1.0, 1970), (-1e300, 1970), (math.nan, 1970)],
)
def test_a_time_that_no_calendar_has_is_the_nearest_that_one_has(seconds: float, year: int):
    assert time_of(seconds).year == year
