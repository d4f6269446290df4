"""Waiting for the end, with a limit of concurrent waiters."""

from api.training.stop_waiters import MAX_WAITERS, POLL_SECONDS, StopWaiters
from api.util.caller import has_caller_left
from api.util.clock import FakeClock


def waiting(clock: FakeClock) -> StopWaiters:
    return StopWaiters(sleep=clock.advance, monotonic=clock.monotonic)


def test_waiter_returns_at_the_end(clock: FakeClock):
    began = clock.monotonic()
    waiting(clock).wait(lambda: clock.monotonic() >= began + 3, 60)
    assert 3 <= clock.monotonic() - began < 3 + 2 * POLL_SECONDS


def test_waiter_returns_after_the_requested_time(clock: FakeClock):
    began = clock.monotonic()
    waiting(clock).wait(lambda: False, 5)
    assert 5 <= clock.monotonic() - began < 5 + 2 * POLL_SECONDS


def test_zero_wait_checks_nothing(clock: FakeClock):
    looks = []
    waiting(clock).wait(lambda: bool(looks.append(1)), 0)
    assert looks == []


def test_surplus_waiter_returns_immediately(clock: FakeClock):
    service = waiting(clock)
    depth = 0

    def check() -> bool:
        nonlocal depth
        depth += 1
        # Each waiter starts another one while it waits.
        service.wait(check, 1)
        return True

    service.wait(check, 1)
    assert depth == MAX_WAITERS


def test_slot_is_released_if_the_check_fails(clock: FakeClock):
    service, looks = waiting(clock), []
    for _ in range(MAX_WAITERS + 1):
        try:
            service.wait(lambda: bool(looks.append(1)) or 1 / 0, 1)
        except ZeroDivisionError:
            continue
    assert len(looks) == MAX_WAITERS + 1


def test_disconnected_client_stops_waiting(clock: FakeClock):
    began = clock.monotonic()
    token = has_caller_left.set(lambda: clock.monotonic() >= began + 2)
    try:
        waiting(clock).wait(lambda: False, 60)
    finally:
        has_caller_left.reset(token)
    assert clock.monotonic() - began < 2 + 2 * POLL_SECONDS
