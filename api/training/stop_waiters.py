"""Waiting for a task to stop."""

import threading
import time
from collections.abc import Callable

from api.util.caller import has_caller_left

#: Limit of concurrent waiting requests. Each blocks one of the threads that serve requests.
MAX_WAITERS = 4

#: Interval between two checks, in seconds.
POLL_SECONDS = 0.1


class StopWaiters:
    """Lets a limited number of callers wait. Further callers return immediately."""

    def __init__(
        self, sleep: Callable[[float], None] = time.sleep, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._slots = threading.BoundedSemaphore(MAX_WAITERS)
        self._sleep = sleep
        self._monotonic = monotonic

    def wait(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Return when `is_over` is true, the client has disconnected, or the time is over."""
        if seconds <= 0 or not self._slots.acquire(blocking=False):
            return
        try:
            end = self._monotonic() + seconds
            has_left = has_caller_left.get()
            while not has_left() and not is_over() and self._monotonic() < end:
                self._sleep(POLL_SECONDS)
        finally:
            self._slots.release()
