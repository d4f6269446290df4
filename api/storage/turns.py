"""Turns: so many at a time, in the order in which they came."""

import threading
from collections import deque


class Turns:
    """Like a semaphore, but nobody overtakes. `threading`'s own gives way to whoever asks at the right moment, which is
    mostly the one who has just left: of 32 threads that claim GPUs some waited for longer than 4 s.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = threading.Lock()
        self._waiting = deque[threading.Lock]()  # each locked until it is its turn

    def acquire(self, timeout: float) -> bool:
        """Waits so many seconds at most; False when its turn has not come by then."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return True
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=timeout):
            return True
        with self._lock:
            # It may have come just after the time was over.
            is_late = mine in self._waiting
            if is_late:
                self._waiting.remove(mine)
        return not is_late

    def release(self) -> None:
        """Hands the turn on to the one who has waited the longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
