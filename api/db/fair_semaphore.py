"""A semaphore that admits threads in a fair order."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from api.errors import DatabaseUnavailable
from api.util.deadlines import at_most

#: Seconds after which the longest waiting thread is admitted next. Until then, running threads may continue, because
#: waking another thread for each turn takes longer than most turns.
OVERDUE_SECONDS = 0.1


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class _Waiter:
    since: float
    called: threading.Lock = field(default_factory=_locked)  #: released to wake the thread
    has_turn: bool = False

    def call(self) -> None:
        """Wake the thread. Calls before it has run have no further effect."""
        if self.called.locked():
            self.called.release()


class FairSemaphore:
    """Like a semaphore, but no thread is overtaken for long.

    `threading.Semaphore` favours the thread that has just released it: of 32 threads that claimed GPUs, some waited for
    longer than 4 s.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = threading.Lock()
        self._waiting = deque[_Waiter]()

    def acquire(self, timeout: float) -> bool:
        """Wait for a turn, at most `timeout` seconds; return whether it came."""
        give_up_at = time.monotonic() + timeout
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return True
            waiter = _Waiter(time.monotonic())
            self._waiting.append(waiter)
        while True:
            is_called = waiter.called.acquire(timeout=max(0.0, give_up_at - time.monotonic()))
            with self._lock:
                if waiter.has_turn:
                    return True
                if self._free > 0:
                    self._free -= 1
                    self._waiting.remove(waiter)
                    self._call_first()
                    return True
                if not is_called:
                    self._waiting.remove(waiter)
                    return False

    @contextmanager
    def wait(self, milliseconds: int, refusal: str) -> Iterator[int]:
        """Hold a turn within the `with` block, and yield the remaining milliseconds, at least one.

        Waits at most `milliseconds`, or until this context's deadline. Raises DatabaseUnavailable.
        """
        began = time.monotonic()
        if not self.acquire(timeout=at_most(milliseconds / 1000)):
            raise DatabaseUnavailable(refusal, headers={"Retry-After": "2"})
        try:
            yield max(1, milliseconds - round(1000 * (time.monotonic() - began)))
        finally:
            self.release()

    def release(self) -> None:
        """Pass the turn to a thread that has waited too long, or else free it for the first to come."""
        with self._lock:
            if self._waiting and time.monotonic() - self._waiting[0].since >= OVERDUE_SECONDS:
                first = self._waiting.popleft()
                first.has_turn = True
                first.call()
            else:
                self._free += 1
                self._call_first()

    def _call_first(self) -> None:
        if self._free > 0 and self._waiting:
            self._waiting[0].call()
