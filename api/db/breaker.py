"""Spares hurried reads the wait for a database that has just not answered another one."""

import threading
import time
from collections.abc import Callable

#: Seconds between two tries while nothing is answered: longer than a hurried try takes, so that they do not overlap.
PAUSE_SECONDS = 1.0


class Breaker:
    """Admits all reads while they are answered; after one that was not, a single one each PAUSE_SECONDS, to try."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._next_try_at: float | None = None

    def admits(self) -> bool:
        """Whether the caller may ask the database now."""
        if self._next_try_at is None:
            return True
        with self._lock:
            now = self._monotonic()
            if self._next_try_at is None:
                return True
            if now < self._next_try_at:
                return False
            self._next_try_at = now + PAUSE_SECONDS
            return True

    def note_answer(self) -> None:
        """Records that a read was answered: all are admitted again."""
        self._next_try_at = None

    def note_silence(self) -> None:
        """Records that a read was not answered in time."""
        with self._lock:
            self._next_try_at = self._monotonic() + PAUSE_SECONDS
