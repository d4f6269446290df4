import math

from api.alerts.log_growth import LogGrowth
from api.util.clock import FakeClock

GIB = 1024**3


def test_the_pace_is_known_after_some_minutes(clock: FakeClock):
    log = [0, 0]
    growth = LogGrowth(lambda _: (log[0], log[1]), clock)
    assert math.isnan(growth.of("a")["log_growth"])
    for _ in range(10):
        clock.advance(60)
        log[1] += GIB // 30
        found = growth.of("a")
    assert round(found["log_growth"], 2) == 2.0
    assert found["log_has_lost"] == 0
    for _ in range(15):
        clock.advance(60)
        found = growth.of("a")
    assert found["log_growth"] == 0


def test_a_log_is_looked_at_once_a_minute_and_tells_of_lost_lines(clock: FakeClock):
    looks = []
    growth = LogGrowth(lambda task: looks.append(task) or (5, 10), clock)  # type: ignore[func-returns-value]
    for _ in range(30):
        clock.advance(5)
        assert growth.of("a")["log_has_lost"] == 1
    assert len(looks) == 3
    growth.forget([])
    growth.of("a")
    assert len(looks) == 4


def test_one_that_is_not_here_is_unknown(clock: FakeClock):
    assert all(math.isnan(value) for value in LogGrowth(lambda _: None, clock).of("a").values())
