"""What clients have not taken: counted, bounded, ended."""

import asyncio

import pytest

from api.errors import Unavailable
from api.web import unread_answers
from api.web.unread_answers import PRESSED_SECONDS, SLOWEST_BYTES_A_SECOND, STILL_SECONDS, UnreadAnswers


class Transport:
    """A connection that holds so much."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.was_ended = False

    def is_closing(self) -> bool:
        return self.was_ended

    def get_write_buffer_size(self) -> int:
        return self.size

    def abort(self) -> None:
        self.was_ended = True


def hold(unread: UnreadAnswers, *sizes: int, since: float = 0.0) -> list[Transport]:
    made = [Transport(size) for size in sizes]
    for one in made:
        unread.add(one, since)
    return made


def wait(held: UnreadAnswers) -> None:
    asyncio.run(held.wait_for_room())


def test_what_clients_hold_is_counted_over_all_connections():
    held = UnreadAnswers()
    first, second = hold(held, 1_000, 20)
    assert held.count(1.0) == 1_020
    first.size = 100
    assert held.count(2.0) == 120
    held.remove(second)
    assert held.count(2.01) == 100


def test_who_has_gone_twice_counts_once():
    held = UnreadAnswers()
    (one,) = hold(held, 10)
    held.remove(one)
    held.remove(one)
    assert held.count(1.0) == 0


def test_there_is_room_below_the_limit():
    held = UnreadAnswers(limit=100)
    hold(held, 99)
    wait(held)


def test_who_holds_most_is_ended_when_there_is_no_room():
    held = UnreadAnswers(limit=100)
    small, large = hold(held, 60, 90, since=float("-inf"))
    wait(held)
    assert (small.was_ended, large.was_ended) == (False, True)


def test_who_has_just_begun_to_read_is_not_ended_and_others_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unread_answers, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(unread_answers, "_COUNT_SECONDS", 0.0)
    held = UnreadAnswers(limit=100)
    (one,) = hold(held, 100, since=float("inf"))
    with pytest.raises(Unavailable) as raised:
        wait(held)
    assert (one.was_ended, raised.value.headers) == (False, {"Retry-After": "10"})


def test_who_takes_nothing_is_ended_after_a_while():
    held = UnreadAnswers()
    (one,) = hold(held, 1_000_000)
    held.end_slow(STILL_SECONDS)
    assert not one.was_ended
    held.end_slow(STILL_SECONDS + 1)
    assert one.was_ended


def test_who_reads_slowly_is_not_ended_as_long_as_it_reads():
    held = UnreadAnswers()
    (one,) = hold(held, 1_000_000)
    for seconds in (40, 100, 200):
        one.size = 1_000_000 - (SLOWEST_BYTES_A_SECOND + 1) * seconds
        held.end_slow(seconds)
    assert not one.was_ended


def test_who_takes_next_to_nothing_is_ended():
    held = UnreadAnswers()
    (one,) = hold(held, 1_000_000)
    one.size -= 40
    held.end_slow(STILL_SECONDS + 10)
    assert one.was_ended


def test_bounds_are_in_order():
    assert PRESSED_SECONDS < unread_answers.PATIENCE_SECONDS < STILL_SECONDS
