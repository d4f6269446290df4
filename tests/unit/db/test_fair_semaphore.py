"""FairSemaphore admits a bounded number of threads, and none is overtaken for long."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import pytest

from api.db import fair_semaphore as module
from api.db.fair_semaphore import FairSemaphore


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Callable[[FairSemaphore, int], list[Future[bool]]]:
    """Start threads that wait one after the other; returns once all of them wait."""
    threads = ThreadPoolExecutor(8)

    def wait(semaphore: FairSemaphore, number: int) -> list[Future[bool]]:
        futures = []
        for already in count(len(semaphore._waiting)):
            if len(futures) == number:
                return futures
            futures.append(threads.submit(semaphore.acquire, 10))
            while len(semaphore._waiting) == already:
                threading.Event().wait(0.001)
        return futures

    yield wait
    threads.shutdown()


def test_free_turns_are_given_immediately():
    semaphore = FairSemaphore(2)
    assert [semaphore.acquire(0), semaphore.acquire(0), semaphore.acquire(0)] == [True, True, False]
    semaphore.release()
    assert semaphore.acquire(0)


def test_thread_that_waited_too_long_is_next(waiting, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "OVERDUE_SECONDS", 0.0)
    semaphore = FairSemaphore(1)
    semaphore.acquire(0)
    first, second = waiting(semaphore, 2)
    semaphore.release()
    # Handed over, so that the thread that has just left comes too late.
    assert not semaphore.acquire(0)
    assert first.result(5)
    semaphore.release()
    assert second.result(5)


def test_until_then_the_first_to_come_is_admitted(waiting, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "OVERDUE_SECONDS", 60.0)
    semaphore = FairSemaphore(1)
    semaphore.acquire(0)
    (waits,) = waiting(semaphore, 1)
    semaphore.release()
    if semaphore.acquire(0):
        semaphore.release()
    assert waits.result(5)


def test_every_free_turn_is_used(waiting, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "OVERDUE_SECONDS", 60.0)
    semaphore = FairSemaphore(3)
    for _ in range(3):
        semaphore.acquire(0)
    futures = waiting(semaphore, 3)
    for _ in range(3):
        semaphore.release()
    assert [future.result(5) for future in futures] == [True, True, True]


def test_timed_out_thread_is_skipped():
    semaphore = FairSemaphore(1)
    semaphore.acquire(0)
    assert not semaphore.acquire(0.001)
    semaphore.release()
    assert semaphore.acquire(0)
