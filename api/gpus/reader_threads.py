"""Run calls that may hang, each in its own thread, so that a stuck one blocks no other."""

import threading
from collections.abc import Callable

from api.util.clock import Clock
from api.util.periodic import PeriodicThread


class Reader:
    """Runs `read` on request, one call at a time. While a call is stuck, further requests are rejected.

    Its thread starts with the first request.
    """

    def __init__(self, name: str, read: Callable[[], None], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._busy_since: float | None = None
        self._answered = threading.Event()
        # Setting both values is one step: otherwise a request between them would see the previous answer.
        self._lock = threading.Lock()
        self._thread = PeriodicThread(name, None, self._answer)
        self._is_started = False

    @property
    def busy_seconds(self) -> float | None:
        """The duration of the current call in seconds, or None."""
        since = self._busy_since
        return None if since is None else self._clock.monotonic() - since

    def start_read(self) -> bool:
        """Start a read. Return False while the previous one is stuck."""
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
        """Wait for the end of the requested read. Return False if it has not ended after `timeout` seconds."""
        return self._answered.wait(timeout)

    def stop(self) -> None:
        """End the thread. If it is stuck in a call, it ends when the call returns."""
        self._thread.stop(timeout=0.0 if self._busy_since is not None else 1.0)

    def _answer(self) -> None:
        if self._busy_since is None:
            # Woken by stop, or by a repeated trigger.
            return
        try:
            self._read()
        finally:
            with self._lock:
                self._busy_since = None
                self._answered.set()
