"""Waiting a moment for a task that was asked to stop."""

import threading
import time
from collections.abc import Callable

#: Requests that wait at a time: each holds one of the threads that answer everybody.
MAX_WAITERS = 4

#: Seconds between two looks.
LOOK_SECONDS = 0.1


class StopWaiting:
    """Lets a few callers wait until something is over; who comes when they are all taken does not wait."""

    def __init__(
        self, sleep: Callable[[float], None] = time.sleep, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._places = threading.BoundedSemaphore(MAX_WAITERS)
        self._sleep = sleep
        self._monotonic = monotonic

    def wait(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Returns when it is over, or after so many seconds."""
        if seconds <= 0 or not self._places.acquire(blocking=False):
            return
        try:
            end = self._monotonic() + seconds
            while not is_over() and self._monotonic() < end:
                self._sleep(LOOK_SECONDS)
        finally:
            self._places.release()
