"""Reads that may hang: each in a thread of its own, so that a stuck one holds up nobody else."""

import threading
from collections.abc import Callable

from api.util.clock import Clock
from api.util.periodic import PeriodicThread


class Reader:
    """Runs `read` when asked, one call at a time; while a call is stuck, further asks are refused.

    Its thread begins with the first ask.
    """

    def __init__(self, name: str, read: Callable[[], None], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._busy_since: float | None = None
        self._answered = threading.Event()
        # Ended and answered are one step: an ask between the two would take this answer for its own.
        self._lock = threading.Lock()
        self._thread = PeriodicThread(name, None, self._answer)
        self._is_started = False

    @property
    def busy_seconds(self) -> float | None:
        """How long the present call has been running; None while there is none."""
        since = self._busy_since
        return None if since is None else self._clock.monotonic() - since

    def ask(self) -> bool:
        """Starts a read; False while the previous one is still stuck."""
        with self._lock:
            if self._busy_since is not None:
                return False
            self._busy_since = self._clock.monotonic()
            self._answered.clear()
        if not self._is_started:
            self._is_started = True
            self._thread.start()
        self._thread.trigger()
        return True

    def wait(self, timeout: float) -> bool:
        """Waits until the read that was asked for has ended; False when it has not after `timeout` seconds."""
        return self._answered.wait(timeout)

    def stop(self) -> None:
        """Ends the thread; one that is stuck in a call ends when the call returns."""
        self._thread.stop(timeout=0.0 if self._busy_since is not None else 1.0)

    def _answer(self) -> None:
        if self._busy_since is None:
            # Woken to stop, or by a trigger that came twice.
            return
        try:
            self._read()
        finally:
            with self._lock:
                self._busy_since = None
                self._answered.set()
