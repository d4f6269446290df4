"""The progress of what runs, noted in the database now and then: others and a restarted server know it by that."""

from collections.abc import Callable, Mapping

from api.domain.training import Attempt
from api.training.attempt_store import AttemptStore
from api.training.attempts.watch import AttemptWatch
from api.util.clock import Clock

#: Seconds between two notes, and the most attempts of which a round makes one: of four thousand it takes a third of a
#: second.
PROGRESS_SECONDS = 2.0
MOST_OF_A_ROUND = 1_000


class ProgressNotes:
    """Notes all that is watched, of many attempts in several rounds."""

    def __init__(self, attempts: AttemptStore, clock: Clock) -> None:
        self._attempts = attempts
        self._clock = clock
        self._noted_at = float("-inf")  # monotonic
        self._left: list[str] = []  # the uids of those whose turn is still to come

    def note(self, watches: Mapping[str, AttemptWatch], tell_trouble: Callable[[Attempt], object]) -> None:
        """Notes those whose turn it is, by the uids of their attempts; `tell_trouble` gets one that cannot be shown.

        Raises DatabaseUnavailable.
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
                tell_trouble(watch.attempt)
        self._attempts.save_progress(latest, self._clock.now())
