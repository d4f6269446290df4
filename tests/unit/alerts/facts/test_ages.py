import pytest

from api.alerts.facts.ages import Ages
from api.util.clock import FakeClock


@pytest.mark.parametrize("hours", [-25, 25])
def test_setting_the_clock_changes_no_age(clock: FakeClock, hours: int):
    ages, since = Ages(clock), clock.now()
    clock.advance(60)
    assert ages.of("a", since) == 60
    clock.jump(hours * 3600)
    clock.advance(5)
    assert ages.of("a", since) == 65


def test_time_in_the_future_has_age_zero(clock: FakeClock):
    since = clock.now()
    clock.jump(-25 * 3600)
    ages = Ages(clock)
    assert ages.of("a", since) == 0
    clock.advance(7)
    assert ages.of("a", since) == 7


def test_new_time_restarts_an_age_and_other_keys_are_forgotten(clock: FakeClock):
    ages, first = Ages(clock), clock.now()
    ages.of("a", first)
    clock.advance(60)
    assert ages.of("a", clock.now()) == 0
    ages.retain([])
    assert ages.of("a", first) == 60
