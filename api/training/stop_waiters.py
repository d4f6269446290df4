"""Waits a moment for a task that was asked to stop."""

import threading
import time
from collections.abc import Callable

from api.util.caller import has_caller_left

#: The most requests that wait at a time: each holds one of the threads that answer everybody.
MAX_WAITERS = 4

#: Seconds between two looks.
LOOK_SECONDS = 0.1


class StopWaiters:
    """Lets a few callers wait until something is over; further ones do not wait."""

    def __init__(
        self, sleep: Callable[[float], None] = time.sleep, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._places = threading.BoundedSemaphore(MAX_WAITERS)
        self._sleep = sleep
        self._monotonic = monotonic

    def wait(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Returns when `is_over` says so, the caller has left, or so many seconds have passed."""
        if seconds <= 0 or not self._places.acquire(blocking=False):
            return
        try:
            end = self._monotonic() + seconds
            has_left = has_caller_left.get()
            while not has_left() and not is_over() and self._monotonic() < end:
                self._sleep(LOOK_SECONDS)
        finally:
            self._places.release()
