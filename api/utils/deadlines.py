"""How long the work of this context waits for what may not answer: who reads would rather be told what is known."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

#: Seconds that a transaction of somebody who only reads may wait for the database: an answer is due within 1 s.
READ_SECONDS = 0.7

_seconds: ContextVar[float | None] = ContextVar("seconds", default=None)
_give_up_at: ContextVar[float | None] = ContextVar("give_up_at", default=None)


def hurry(seconds: float) -> Token[float | None]:
    """From here on each transaction of this context waits at most so long; a shorter bound that is set stays."""
    before = _seconds.get()
    return _seconds.set(seconds if before is None else min(before, seconds))


@contextmanager
def hurrying(seconds: float) -> Iterator[None]:
    """The same for a while."""
    token = hurry(seconds)
    try:
        yield
    finally:
        _seconds.reset(token)


def is_in_a_hurry() -> bool:
    """Whether a bound is set here."""
    return _seconds.get() is not None


@contextmanager
def one_wait() -> Iterator[None]:
    """All that waits in here shares one bound, where one is set."""
    seconds = _seconds.get()
    token = _give_up_at.set(None if seconds is None else time.monotonic() + seconds)
    try:
        yield
    finally:
        _give_up_at.reset(token)


def time_left() -> float | None:
    """Seconds that may still be waited, at least 0; None where no bound is set."""
    give_up_at = _give_up_at.get()
    return None if give_up_at is None else max(0.0, give_up_at - time.monotonic())


def at_most(seconds: float) -> float:
    """So many seconds, or what is left where that is less."""
    left = time_left()
    return seconds if left is None else min(seconds, left)
