"""A sign of life to the outside: who misses it sees what this service cannot tell, that it is dead."""

import logging
from typing import Protocol

from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two signs.
SIGN_SECONDS = 60.0

#: Without a round of the rules for longer the service counts as dead, and gives no sign.
ALIVE_SECONDS = 60.0


class Pinger(Protocol):
    """Asks for the address that waits for signs."""

    def __call__(self) -> str | None:
        """Why it was not reached, in words without the address; None when it was."""
        ...


class DeadMan:
    """Gives the signs. `note_round` may be called from any thread."""

    def __init__(self, ping: Pinger | None, clock: Clock) -> None:
        """`ping` None: nobody waits for signs."""
        self._ping = ping
        self._clock = clock
        self._round_at = float("-inf")
        self._is_failing = False
        self._thread = PeriodicThread("alert-sign", SIGN_SECONDS, self.run_once)

    def start(self) -> None:
        """Begins to give signs, where somebody waits for them."""
        if self._ping is not None:
            self._thread.start()

    def stop(self) -> None:
        """Stops; a call under way is left behind."""
        if self._ping is not None:
            self._thread.stop(timeout=0.5)

    def note_round(self) -> None:
        """Says that the rules were held against the facts."""
        self._round_at = self._clock.monotonic()

    def run_once(self) -> None:
        """Gives one sign, unless the rules are not evaluated any more."""
        if self._ping is None or self._clock.monotonic() - self._round_at > ALIVE_SECONDS:
            return
        why = self._ping()
        if why is not None and not self._is_failing:
            logger.warning("no sign of life could be given", extra={"problem": why})
        self._is_failing = why is not None
