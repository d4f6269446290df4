"""The reasons why tasks wait, from the scheduler's latest pass."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from api.domain.read_scope import current_scope
from api.domain.reason import Reason
from api.training.scheduler import Pass
from api.training.waiting_messages import JUST_QUEUED
from api.util.clock import Clock

#: Maximum age of a pass whose reasons are used, in seconds. The loop makes two passes per second.
DECISION_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class DatedPass:
    """A pass and the monotonic time of its creation."""

    decided: Pass
    at: float


class WaitingReasons:
    """The reasons of the latest pass. One thread publishes passes; any thread may read."""

    def __init__(self, clock: Clock, plan: Callable[[], Pass]) -> None:
        """Create the reasons. `plan` makes a pass now, for a server whose loop publishes none."""
        self._clock = clock
        self._plan = plan
        self._published = DatedPass(Pass(), float("-inf"))
        self._planning = threading.Lock()  # guards `_planned`
        self._planned = self._published

    def publish(self, decided: Pass) -> None:
        """Store the latest pass."""
        self._published = DatedPass(decided, self._clock.monotonic())

    def get(self, task_id: str) -> Reason:
        """Return why this task waits, as far as the reader may know."""
        latest = self._published
        if not self._is_fresh(latest):
            # Another server assigns the GPUs, or none does. Its decision would be the same.
            latest = self._plan_now()
        return latest.decided.why(task_id, current_scope.get()) or JUST_QUEUED

    def _plan_now(self) -> DatedPass:
        """Make a pass for readers, at most one at a time."""
        with self._planning:
            if not self._is_fresh(self._planned):
                self._planned = DatedPass(self._plan(), self._clock.monotonic())
            return self._planned

    def _is_fresh(self, made: DatedPass) -> bool:
        return self._clock.monotonic() - made.at <= DECISION_SECONDS
