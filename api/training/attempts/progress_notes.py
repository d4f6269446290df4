"""Periodic storage of the progress of running attempts, for other servers and after a restart."""

from collections.abc import Callable, Mapping

from api.domain.training import Attempt
from api.training.attempt_store import AttemptStore
from api.training.attempts.watch import AttemptWatch
from api.util.clock import Clock

#: Interval in seconds, and limit of attempts per round. Four thousand take a third of a second.
PROGRESS_SECONDS = 2.0
MOST_OF_A_ROUND = 1_000


class ProgressNotes:
    """Stores the progress of all watched attempts, in several rounds if there are many."""

    def __init__(self, attempts: AttemptStore, clock: Clock) -> None:
        self._attempts = attempts
        self._clock = clock
        self._noted_at = float("-inf")  # monotonic
        self._left: list[str] = []  # uids of attempts still to be stored in this interval

    def note(self, watches: Mapping[str, AttemptWatch], report_error: Callable[[Attempt], object]) -> None:
        """Store the progress of the next attempts. `report_error` is called for an attempt that raises.

        Raise DatabaseUnavailable.
        """
        now = self._clock.monotonic()
        if not self._left:
            if now - self._noted_at < PROGRESS_SECONDS:
                return
            self._noted_at, self._left = now, list(watches)
        turn, self._left = self._left[:MOST_OF_A_ROUND], self._left[MOST_OF_A_ROUND:]
        latest = {}
        for watch in filter(None, map(watches.get, turn)):
            try:
                latest[watch.attempt.task_id] = watch.show()
            except Exception:
                report_error(watch.attempt)
        self._attempts.save_progress(latest, self._clock.now())
