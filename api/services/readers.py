"""Reads that may hang: each in a thread of its own, so that a stuck one holds up nobody else."""

import logging
import threading
from collections.abc import Callable

from api.utils.clock import Clock
from api.utils.periodic import PeriodicThread

logger = logging.getLogger(__name__)


class Round:
    """Waits, with a bound, until everyone who was asked has answered."""

    def __init__(self) -> None:
        self._pending = 0
        self._all_in = threading.Condition()

    def expect(self) -> None:
        with self._all_in:
            self._pending += 1

    def arrive(self) -> None:
        with self._all_in:
            self._pending -= 1
            if self._pending == 0:
                self._all_in.notify_all()

    def wait(self, timeout: float) -> bool:
        """False when somebody has not answered after `timeout` seconds."""
        with self._all_in:
            return self._all_in.wait_for(lambda: self._pending == 0, timeout)


class Reader:
    """Runs `read` when asked, one call at a time; while a call is stuck, further asks are refused.

    Its thread begins with the first ask.
    """

    def __init__(self, name: str, read: Callable[[], None], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._round: Round | None = None
        self._busy_since: float | None = None
        self._thread = PeriodicThread(name, None, self._answer)
        self._is_started = False

    @property
    def busy_seconds(self) -> float | None:
        """How long the present call has been running; None while there is none."""
        since = self._busy_since
        return None if since is None else self._clock.monotonic() - since

    def ask(self, round_: Round) -> bool:
        """Starts a read that reports to the round; False while the previous one is still stuck."""
        if self._busy_since is not None:
            return False
        self._busy_since = self._clock.monotonic()
        self._round = round_
        round_.expect()
        if not self._is_started:
            self._is_started = True
            self._thread.start()
        self._thread.trigger()
        return True

    def stop(self) -> None:
        """Ends the thread; one that is stuck in a call ends when the call returns."""
        self._thread.stop(timeout=0.0 if self._busy_since is not None else 1.0)

    def _answer(self) -> None:
        round_ = self._round
        try:
            if round_ is not None:
                self._read()
        finally:
            self._busy_since = None
            if round_ is not None:
                round_.arrive()
