import pytest

from api.alerts.ages import Ages
from api.util.clock import FakeClock


@pytest.mark.parametrize("hours", [-25, 25])
def test_a_clock_that_is_set_ages_nothing(clock: FakeClock, hours: int):
    ages, since = Ages(clock), clock.now()
    clock.advance(60)
    assert ages.of("a", since) == 60
    clock.jump(hours * 3600)
    clock.advance(5)
    assert ages.of("a", since) == 65


def test_a_time_that_lies_ahead_is_now(clock: FakeClock):
    since = clock.now()
    clock.jump(-25 * 3600)
    ages = Ages(clock)
    assert ages.of("a", since) == 0
    clock.advance(7)
    assert ages.of("a", since) == 7


def test_another_time_begins_anew_and_what_is_not_kept_is_forgotten(clock: FakeClock):
    ages, first = Ages(clock), clock.now()
    ages.of("a", first)
    clock.advance(60)
    assert ages.of("a", clock.now()) == 0
    ages.keep([])
    assert ages.of("a", first) == 60
