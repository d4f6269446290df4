"""Selection of the attempts that one round handles. With many attempts, the rest comes first in the next round."""

from collections.abc import Callable, Iterator, Sequence

from api.domain.training import Attempt
from api.util.clock import Clock

#: Seconds after which a round takes no more attempts, so that the whole round ends within a second. Attempts that are
#: only followed come first. Attempts that start, stop, end or are taken over wait for the disk and come second, with a
#: guaranteed minimum of seconds.
ROUND_SECONDS = 0.35
CHANGING_SECONDS = 0.175


class Portions:
    """Divides attempts into rounds, so that a thousand simultaneous changes delay neither the others nor the queue.

    A round handles at least one of each kind. No attempt has a second turn before all had their first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._round = 0
        # the latest round of each attempt, by uid; empty while no round leaves any
        self._handled_in: dict[str, int] = {}

    def choose(
        self,
        attempts: Sequence[Attempt],
        changes: Callable[[Attempt], bool],
        is_urgent: Callable[[Attempt], bool],
    ) -> Iterator[Attempt]:
        """Yield the attempts of this round in order. The caller's time between two yields counts.

        `changes` returns the kind. Of attempts that wait equally long, those with `is_urgent` come first.
        """
        self._round += 1
        kinds: tuple[list[Attempt], list[Attempt]] = ([], [])
        for attempt in attempts:
            kinds[changes(attempt)].append(attempt)
        left = list[Attempt]()
        round_ends = self._clock.monotonic() + ROUND_SECONDS
        for kind, least in zip(kinds, (0.0, CHANGING_SECONDS), strict=True):
            kind.sort(key=lambda attempt: (self._handled_in.get(attempt.uid, 0), not is_urgent(attempt)))
            ends = max(round_ends, self._clock.monotonic() + least)
            for index, attempt in enumerate(kind):
                if index and self._clock.monotonic() >= ends:
                    left += kind[index:]
                    break
                yield attempt
        self._remember(attempts, left)

    def _remember(self, attempts: Sequence[Attempt], left: Sequence[Attempt]) -> None:
        if not left:
            self._handled_in.clear()
            return
        waiting = {attempt.uid for attempt in left}
        before = self._handled_in
        self._handled_in = {
            attempt.uid: before.get(attempt.uid, 0) if attempt.uid in waiting else self._round for attempt in attempts
        }
