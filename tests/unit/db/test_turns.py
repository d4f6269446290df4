"""Turns: so many at a time, and nobody is overtaken for long."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import pytest

from api.db import turns as module
from api.db.turns import Turns


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Callable[[Turns, int], list[Future[bool]]]:
    """Threads that wait, one after the other, as soon as all of them do."""
    threads = ThreadPoolExecutor(8)

    def wait(turns: Turns, number: int) -> list[Future[bool]]:
        futures = []
        for already in count(len(turns._waiting)):
            if len(futures) == number:
                return futures
            futures.append(threads.submit(turns.acquire, 10))
            while len(turns._waiting) == already:
                threading.Event().wait(0.001)
        return futures

    yield wait
    threads.shutdown()


def test_as_many_as_there_are_go_at_once():
    turns = Turns(2)
    assert [turns.acquire(0), turns.acquire(0), turns.acquire(0)] == [True, True, False]
    turns.release()
    assert turns.acquire(0)


def test_who_waits_for_too_long_is_next_whoever_asks(waiting, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "OVERDUE_SECONDS", 0.0)
    turns = Turns(1)
    turns.acquire(0)
    first, second = waiting(turns, 2)
    turns.release()
    # Handed on, so that who has just left comes too late.
    assert not turns.acquire(0)
    assert first.result(5)
    turns.release()
    assert second.result(5)


def test_until_then_whoever_is_first_goes_on(waiting, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "OVERDUE_SECONDS", 60.0)
    turns = Turns(1)
    turns.acquire(0)
    (waits,) = waiting(turns, 1)
    turns.release()
    if turns.acquire(0):
        turns.release()
    assert waits.result(5)


def test_every_place_that_is_free_is_taken(waiting, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "OVERDUE_SECONDS", 60.0)
    turns = Turns(3)
    for _ in range(3):
        turns.acquire(0)
    futures = waiting(turns, 3)
    for _ in range(3):
        turns.release()
    assert [future.result(5) for future in futures] == [True, True, True]


def test_who_has_given_up_is_passed_over():
    turns = Turns(1)
    turns.acquire(0)
    assert not turns.acquire(0.001)
    turns.release()
    assert turns.acquire(0)
