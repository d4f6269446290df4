"""Limits how long the work of this context may wait for a resource that does not respond.

Readers prefer an older result in time.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

#: Seconds that a reader's transaction may wait for the database, since responses are due within 1 s.
READ_SECONDS = 0.7

_seconds: ContextVar[float | None] = ContextVar("seconds", default=None)
_give_up_at: ContextVar[float | None] = ContextVar("give_up_at", default=None)


def limit_wait(seconds: float) -> Token[float | None]:
    """Let each transaction of this context wait at most this long. A shorter limit stays in effect."""
    before = _seconds.get()
    return _seconds.set(seconds if before is None else min(before, seconds))


@contextmanager
def wait_limit(seconds: float) -> Iterator[None]:
    """Apply `limit_wait` within the `with` block only."""
    token = limit_wait(seconds)
    try:
        yield
    finally:
        _seconds.reset(token)


def has_wait_limit() -> bool:
    """Return whether a limit is set in this context."""
    return _seconds.get() is not None


@contextmanager
def shared_wait_limit() -> Iterator[None]:
    """Let all waits within the `with` block share one limit, counted from its start, if a limit is set."""
    seconds = _seconds.get()
    token = _give_up_at.set(None if seconds is None else time.monotonic() + seconds)
    try:
        yield
    finally:
        _give_up_at.reset(token)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let all waits within the `with` block share these seconds. An earlier deadline stays in effect."""
    token = _give_up_at.set(time.monotonic() + at_most(seconds))
    try:
        yield
    finally:
        _give_up_at.reset(token)


def time_left() -> float | None:
    """Return the seconds that may still be waited, at least 0; None if no limit is set."""
    give_up_at = _give_up_at.get()
    return None if give_up_at is None else max(0.0, give_up_at - time.monotonic())


def at_most(seconds: float) -> float:
    """Return the smaller of these seconds and `time_left`."""
    left = time_left()
    return seconds if left is None else min(seconds, left)
