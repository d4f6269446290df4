"""Unread responses are counted and bounded, and slow clients disconnected."""

import asyncio

import pytest

from api.errors import Unavailable
from api.web import reply
from api.web.reply import IDLE_SECONDS, MIN_BYTES_PER_SECOND, PRESSURE_SECONDS, UnreadResponses


class Transport:
    """A connection with so many unread bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.was_ended = False

    def is_closing(self) -> bool:
        return self.was_ended

    def get_write_buffer_size(self) -> int:
        return self.size

    def abort(self) -> None:
        self.was_ended = True


def hold(unread: UnreadResponses, *sizes: int, since: float = 0.0) -> list[Transport]:
    made = [Transport(size) for size in sizes]
    for one in made:
        unread.add(one, since)
    return made


def wait(held: UnreadResponses) -> None:
    asyncio.run(held.wait_for_memory())


def test_unread_bytes_are_counted_over_all_connections():
    held = UnreadResponses()
    first, second = hold(held, 1_000, 20)
    assert held.count(1.0) == 1_020
    first.size = 100
    assert held.count(2.0) == 120
    held.remove(second)
    assert held.count(2.01) == 100


def test_removed_connection_counts_once():
    held = UnreadResponses()
    (one,) = hold(held, 10)
    held.remove(one)
    held.remove(one)
    assert held.count(1.0) == 0


def test_memory_is_available_below_the_limit():
    held = UnreadResponses(limit=100)
    hold(held, 99)
    wait(held)


def test_largest_connection_is_closed_at_the_limit():
    held = UnreadResponses(limit=100)
    small, large = hold(held, 60, 90, since=float("-inf"))
    wait(held)
    assert (small.was_ended, large.was_ended) == (False, True)


def test_new_reader_is_not_closed_and_others_get_503(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reply, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(reply, "_COUNT_SECONDS", 0.0)
    held = UnreadResponses(limit=100)
    (one,) = hold(held, 100, since=float("inf"))
    with pytest.raises(Unavailable) as raised:
        wait(held)
    assert (one.was_ended, raised.value.headers) == (False, {"Retry-After": "10"})


def test_client_that_reads_nothing_is_closed_after_a_while():
    held = UnreadResponses()
    (one,) = hold(held, 1_000_000)
    held.close_slow(IDLE_SECONDS)
    assert not one.was_ended
    held.close_slow(IDLE_SECONDS + 1)
    assert one.was_ended


def test_slow_client_is_not_closed_while_it_reads():
    held = UnreadResponses()
    (one,) = hold(held, 1_000_000)
    for seconds in (40, 100, 200):
        one.size = 1_000_000 - (MIN_BYTES_PER_SECOND + 1) * seconds
        held.close_slow(seconds)
    assert not one.was_ended


def test_client_that_reads_almost_nothing_is_closed():
    held = UnreadResponses()
    (one,) = hold(held, 1_000_000)
    one.size -= 40
    held.close_slow(IDLE_SECONDS + 10)
    assert one.was_ended


def test_limits_are_in_order():
    assert PRESSURE_SECONDS < reply.PATIENCE_SECONDS < IDLE_SECONDS
