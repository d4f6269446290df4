"""Waiting a moment for the end, a few at a time."""

from api.training.stop_waiters import LOOK_SECONDS, MAX_WAITERS, StopWaiters
from api.util.caller import has_caller_left
from api.util.clock import FakeClock


def waiting(clock: FakeClock) -> StopWaiters:
    return StopWaiters(sleep=clock.advance, monotonic=clock.monotonic)


def test_the_end_is_waited_for(clock: FakeClock):
    began = clock.monotonic()
    waiting(clock).wait(lambda: clock.monotonic() >= began + 3, 60)
    assert 3 <= clock.monotonic() - began < 3 + 2 * LOOK_SECONDS


def test_nobody_waits_longer_than_asked_for(clock: FakeClock):
    began = clock.monotonic()
    waiting(clock).wait(lambda: False, 5)
    assert 5 <= clock.monotonic() - began < 5 + 2 * LOOK_SECONDS


def test_without_a_wait_nothing_is_looked_at(clock: FakeClock):
    looks = []
    waiting(clock).wait(lambda: bool(looks.append(1)), 0)
    assert looks == []


def test_one_too_many_does_not_wait(clock: FakeClock):
    service = waiting(clock)
    depth = 0

    def look() -> bool:
        nonlocal depth
        depth += 1
        # Each waiter meets another one while it waits.
        service.wait(look, 1)
        return True

    service.wait(look, 1)
    assert depth == MAX_WAITERS


def test_a_place_is_given_back_when_looking_fails(clock: FakeClock):
    service, looks = waiting(clock), []
    for _ in range(MAX_WAITERS + 1):
        try:
            service.wait(lambda: bool(looks.append(1)) or 1 / 0, 1)
        except ZeroDivisionError:
            continue
    assert len(looks) == MAX_WAITERS + 1


def test_who_has_left_waits_no_longer(clock: FakeClock):
    began = clock.monotonic()
    token = has_caller_left.set(lambda: clock.monotonic() >= began + 2)
    try:
        waiting(clock).wait(lambda: False, 60)
    finally:
        has_caller_left.reset(token)
    assert clock.monotonic() - began < 2 + 2 * LOOK_SECONDS
