"""Spares those who are in a hurry the wait for a database that has just let another one wait in vain."""

import threading
import time
from collections.abc import Callable

#: Seconds between two tries while nothing is answered; longer than a hurried try takes, so that there is one at a time.
PAUSE_SECONDS = 1.0


class Breaker:
    """Closed as long as reads are answered. After one that was not, it lets one through in each second."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._next_try_at: float | None = None

    def admits(self) -> bool:
        """Whether to ask; who is admitted while nothing is answered is the one who tries."""
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
        """All are admitted again."""
        self._next_try_at = None

    def note_silence(self) -> None:
        """A read was not answered."""
        with self._lock:
            self._next_try_at = self._monotonic() + PAUSE_SECONDS
