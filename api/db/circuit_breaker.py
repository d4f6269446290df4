"""A circuit breaker: urgent reads do not wait for a database that has just failed to answer."""

import threading
import time
from collections.abc import Callable

#: Seconds between two tries while the database does not answer; longer than an urgent read may take.
PAUSE_SECONDS = 1.0


class CircuitBreaker:
    """Admits all reads while the database answers; after a failure only one per PAUSE_SECONDS."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._next_try_at: float | None = None

    def admits(self) -> bool:
        """Return whether the caller may query the database now."""
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

    def note_success(self) -> None:
        """Record a successful read; all reads are admitted again."""
        self._next_try_at = None

    def note_failure(self) -> None:
        """Record a read that timed out."""
        with self._lock:
            self._next_try_at = self._monotonic() + PAUSE_SECONDS
