"""Why tasks wait, by the latest pass over the queue: the loop publishes it, and questions read."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from api.domain.reason import Reason
from api.domain.sight import current_sight
from api.training.scheduler import Pass
from api.training.waiting_words import JUST_QUEUED
from api.util.clock import Clock

#: Seconds after which a pass is too old to give reasons: the loop makes two a second.
DECISION_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class DatedPass:
    """A pass, and the monotonic time at which it was made."""

    decided: Pass
    at: float


class WaitingReasons:
    """The reasons of the latest pass. One thread publishes; any number may ask, which changes nothing."""

    def __init__(self, clock: Clock, plan: Callable[[], Pass]) -> None:
        """`plan` makes a pass now, for when no loop publishes here."""
        self._clock = clock
        self._plan = plan
        self._published = DatedPass(Pass(), float("-inf"))
        self._asking = threading.Lock()  # of what follows
        self._asked = self._published

    def publish(self, decided: Pass) -> None:
        """Takes this as the latest pass."""
        self._published = DatedPass(decided, self._clock.monotonic())

    def get(self, task_id: str) -> Reason:
        """Why this task waits, as whoever asks may know it."""
        latest = self._published
        if not self._is_fresh(latest):
            # Another server gives the GPUs away, or none; what it would decide is the same.
            latest = self._ask()
        return latest.decided.why(task_id, current_sight.get()) or JUST_QUEUED

    def _ask(self) -> DatedPass:
        """Makes a pass for the questions themselves, one for all of them."""
        with self._asking:
            if not self._is_fresh(self._asked):
                self._asked = DatedPass(self._plan(), self._clock.monotonic())
            return self._asked

    def _is_fresh(self, made: DatedPass) -> bool:
        return self._clock.monotonic() - made.at <= DECISION_SECONDS
