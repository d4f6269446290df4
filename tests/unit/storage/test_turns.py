"""Turns are had in the order in which they were asked for."""

import threading

from api.storage.turns import Turns


def test_as_many_as_there_are_go_at_once():
    turns = Turns(2)
    assert [turns.acquire(0), turns.acquire(0), turns.acquire(0)] == [True, True, False]
    turns.release()
    assert turns.acquire(0)


def test_nobody_overtakes_who_waits():
    turns, order = Turns(1), []
    turns.acquire(0)
    threads = [threading.Thread(target=lambda name=name: order.append((turns.acquire(5), name))) for name in "ab"]
    for number, thread in enumerate(threads, 1):
        thread.start()
        while len(turns._waiting) < number:
            threading.Event().wait(0.001)
    # Handed on to the first of them: who has just left comes too late.
    turns.release()
    assert not turns.acquire(0)
    threads[0].join(5)
    turns.release()
    threads[1].join(5)
    assert order == [(True, "a"), (True, "b")]


def test_who_has_given_up_is_passed_over():
    turns = Turns(1)
    turns.acquire(0)
    assert not turns.acquire(0.001)
    turns.release()
    assert turns.acquire(0)
