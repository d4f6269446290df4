"""Admits so many threads at a time, without anybody waiting for ever while others come and go."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from api.errors import DatabaseUnavailable
from api.util.deadlines import at_most

#: Seconds after which the one who has waited the longest is next, whoever asks. Until then whoever is running goes on:
#: to wake another thread for each turn takes longer than most turns do.
OVERDUE_SECONDS = 0.1


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class _Waiter:
    since: float
    called: threading.Lock = field(default_factory=_locked)  #: released to call it
    has_turn: bool = False

    def call(self) -> None:
        """Wakes it; again before it has come is once."""
        if self.called.locked():
            self.called.release()


class Turns:
    """Like a semaphore, but nobody is overtaken for long. `threading`'s own gives way to whoever asks at the right
    moment, which is mostly the one who has just left: of 32 threads that claim GPUs some waited for longer than 4 s.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = threading.Lock()
        self._waiting = deque[_Waiter]()

    def acquire(self, timeout: float) -> bool:
        """Waits `timeout` seconds at most; False when its turn has not come by then."""
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
        """Has a turn within the `with` block, waited for so long at most, or as long as this context may; gives how
        many of the milliseconds are left then, at least one. Raises DatabaseUnavailable.
        """
        began = time.monotonic()
        if not self.acquire(timeout=at_most(milliseconds / 1000)):
            raise DatabaseUnavailable(refusal, headers={"Retry-After": "2"})
        try:
            yield max(1, milliseconds - round(1000 * (time.monotonic() - began)))
        finally:
            self.release()

    def release(self) -> None:
        """Hands the turn to who has waited for too long, or leaves it to whoever is first."""
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
