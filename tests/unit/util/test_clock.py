import math
from datetime import timedelta

import pytest

from api.util.clock import CATCH_UP, FakeClock, Mark, SteadyMark, SystemClock, time_of


def test_system_clock_is_in_utc():
    assert SystemClock().now().utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("seconds", "year"),
    [(0, 1970), (1.8e9, 2027), (1e300, 9999), (math.inf, 9999), (-1.0, 1970), (-1e300, 1970), (math.nan, 1970)],
)
def test_time_out_of_range_is_the_nearest_valid_one(seconds: float, year: int):
    assert time_of(seconds).year == year


DAY = 86_400.0


def test_steady_time_passes_as_time_does(clock: FakeClock):
    clock.advance(400 * DAY)
    assert clock.steady.now() == clock.now()


@pytest.mark.parametrize("jump", [25 * 3600.0, 366 * DAY])
def test_clock_that_is_set_forward_is_followed_slowly(clock: FakeClock, jump: float):
    before = clock.now()
    clock.advance(3600)
    clock.jump(jump)
    assert clock.steady.now() == before + timedelta(hours=1)
    clock.advance(3600)
    assert clock.steady.now() == before + timedelta(hours=1 + CATCH_UP)
    clock.advance(jump)
    assert clock.steady.now() == clock.now()


@pytest.mark.parametrize("jump", [-25 * 3600.0, -366 * DAY])
def test_clock_that_is_set_back_is_followed_immediately(clock: FakeClock, jump: float):
    clock.steady.now()
    clock.jump(jump)
    assert clock.steady.now() == clock.now()
    clock.jump(-jump)
    assert clock.steady.now() == clock.now() - timedelta(seconds=-jump)


def test_restart_within_a_boot_counts_the_time_between(clock: FakeClock):
    known = clock.steady.read()
    clock.advance(3600)
    clock.jump(366 * DAY)
    clock.restart()
    clock.steady.resume(known)
    assert clock.steady.now() == known.at + timedelta(hours=1)


@pytest.mark.parametrize("boot_id", ["another", ""])
def test_time_between_two_boots_is_caught_up_slowly(clock: FakeClock, boot_id: str):
    known = SteadyMark(clock.now(), Mark(boot_id, clock.mark().seconds))
    clock.advance(10 * DAY)
    clock.restart()
    clock.steady.resume(known)
    assert clock.steady.now() == known.at
    clock.advance(4 * DAY)
    assert clock.steady.now() == clock.now()


def test_steady_time_that_was_ahead_goes_back_to_the_wall_clock(clock: FakeClock):
    clock.steady.resume(SteadyMark(clock.now() + timedelta(days=1), clock.mark()))
    assert clock.steady.now() == clock.now()
