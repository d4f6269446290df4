"""What one round looks at: of many attempts as many as its time permits, and the others first in the next round."""

from collections.abc import Callable, Iterator, Sequence

from api.domain.training import Attempt
from api.util.clock import Clock

#: Seconds after which a round takes no more attempts, so that with all else it does it ends within a second; first come
#: those that are merely followed, then those of which each costs waits for the disk: that begin, are taken up, stopped
#: or ended. The seconds that are left to these at least.
ROUND_SECONDS = 0.35
CHANGING_SECONDS = 0.175


class Portions:
    """Divides the attempts into rounds, so that a thousand which change at once hold up neither the others nor the
    queue. Of each kind a round looks at one at least, and nobody has a second turn before all had their first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._round = 0
        self._looked_at: dict[str, int] = {}  # the round of the latest look, by uid; empty while no round leaves any

    def choose(
        self,
        attempts: Sequence[Attempt],
        changes: Callable[[Attempt], bool],
        is_urgent: Callable[[Attempt], bool],
    ) -> Iterator[Attempt]:
        """The attempts of this round, in its order: `changes` tells the kind, and who `is_urgent` comes first of those
        that wait as long. The time in which the caller has one counts.
        """
        self._round += 1
        kinds: tuple[list[Attempt], list[Attempt]] = ([], [])
        for attempt in attempts:
            kinds[changes(attempt)].append(attempt)
        left = list[Attempt]()
        round_ends = self._clock.monotonic() + ROUND_SECONDS
        for kind, least in zip(kinds, (0.0, CHANGING_SECONDS), strict=True):
            kind.sort(key=lambda attempt: (self._looked_at.get(attempt.uid, 0), not is_urgent(attempt)))
            ends = max(round_ends, self._clock.monotonic() + least)
            for place, attempt in enumerate(kind):
                if place and self._clock.monotonic() >= ends:
                    left += kind[place:]
                    break
                yield attempt
        self._remember(attempts, left)

    def _remember(self, attempts: Sequence[Attempt], left: Sequence[Attempt]) -> None:
        if not left:
            self._looked_at.clear()
            return
        waiting = {attempt.uid for attempt in left}
        before = self._looked_at
        self._looked_at = {
            attempt.uid: before.get(attempt.uid, 0) if attempt.uid in waiting else self._round for attempt in attempts
        }
