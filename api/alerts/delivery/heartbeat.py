"""A heartbeat to an external monitor, which notices if this service stops."""

import logging
from typing import Protocol

from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two heartbeats.
PING_SECONDS = 60.0

#: Seconds without an evaluation of the rules after which no heartbeat is sent.
ALIVE_SECONDS = 60.0


class Pinger(Protocol):
    """Sends a request to the external monitor."""

    def __call__(self) -> str | None:
        """Send the request. Return None if it succeeded, else the problem, without the address."""
        ...


class Heartbeat:
    """Sends the heartbeats. `note_round` may be called from any thread."""

    def __init__(self, ping: Pinger | None, clock: Clock) -> None:
        """Create the heartbeat. `ping` is None if no monitor is configured."""
        self._ping = ping
        self._clock = clock
        self._round_at = float("-inf")
        self._is_failing = False
        self._thread = PeriodicThread("alert-sign", PING_SECONDS, self.run_once)

    def start(self) -> None:
        """Start the thread, if a monitor is configured."""
        if self._ping is not None:
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread. A request in progress is abandoned."""
        if self._ping is not None:
            self._thread.stop(timeout=0.5)

    def note_round(self) -> None:
        """Record that the rules were evaluated."""
        self._round_at = self._clock.monotonic()

    def run_once(self) -> None:
        """Send one heartbeat, unless the rules are no longer evaluated."""
        if self._ping is None or self._clock.monotonic() - self._round_at > ALIVE_SECONDS:
            return
        problem = self._ping()
        if problem is not None and not self._is_failing:
            logger.warning("the heartbeat to SIGN_OF_LIFE_URL failed", extra={"problem": problem})
        self._is_failing = problem is not None
