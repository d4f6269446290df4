"""How long the work of this context may wait for what does not answer: a reader prefers an older answer in time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

#: Seconds that a transaction of somebody who only reads may wait for the database: an answer is due within 1 s.
READ_SECONDS = 0.7

_seconds: ContextVar[float | None] = ContextVar("seconds", default=None)
_give_up_at: ContextVar[float | None] = ContextVar("give_up_at", default=None)


def hurry(seconds: float) -> Token[float | None]:
    """Lets each transaction of this context wait at most so long from now on; a shorter bound that is set stays."""
    before = _seconds.get()
    return _seconds.set(seconds if before is None else min(before, seconds))


@contextmanager
def hurrying(seconds: float) -> Iterator[None]:
    """Sets the bound of `hurry` within the `with` block only."""
    token = hurry(seconds)
    try:
        yield
    finally:
        _seconds.reset(token)


def is_in_a_hurry() -> bool:
    """Whether a bound is set in this context."""
    return _seconds.get() is not None


@contextmanager
def one_wait() -> Iterator[None]:
    """Lets all waits within the `with` block share one bound, counted from its start, where one is set."""
    seconds = _seconds.get()
    token = _give_up_at.set(None if seconds is None else time.monotonic() + seconds)
    try:
        yield
    finally:
        _give_up_at.reset(token)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Lets all waits within the `with` block share these seconds; an earlier end that is set stays."""
    token = _give_up_at.set(time.monotonic() + at_most(seconds))
    try:
        yield
    finally:
        _give_up_at.reset(token)


def time_left() -> float | None:
    """Seconds that may still be waited, at least 0; None where no bound is set."""
    give_up_at = _give_up_at.get()
    return None if give_up_at is None else max(0.0, give_up_at - time.monotonic())


def at_most(seconds: float) -> float:
    """The smaller of these seconds and `time_left`."""
    left = time_left()
    return seconds if left is None else min(seconds, left)
