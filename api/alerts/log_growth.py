"""How fast the logs of tasks grow, and whether they have lost lines: looked at once a minute."""

from collections import deque
from collections.abc import Callable, Collection

from api.alerts.evaluation import UNKNOWN
from api.util.clock import Clock

#: Seconds between two looks at a log, and over which its pace is taken; it is known after half of that.
LOOK_SECONDS, SPAN_SECONDS = 60.0, 600.0

_GIB = 1024.0**3


class LogGrowth:
    """The paces. One thread uses it."""

    def __init__(self, extent_of: Callable[[str], tuple[int, int] | None], clock: Clock) -> None:
        """`extent_of` says at which bytes a task's log begins, of those that are left, and ends; None where it cannot
        be seen from here.
        """
        self._extent_of = extent_of
        self._clock = clock
        self._looked: dict[str, deque[tuple[float, int]]] = {}
        self._facts: dict[str, dict[str, float]] = {}

    def forget(self, there: Collection[str]) -> None:
        """Forgets all tasks but these."""
        for known in (self._looked, self._facts):
            for gone in set(known) - set(there):
                del known[gone]

    def of(self, task_id: str) -> dict[str, float]:
        """The facts of a task that runs: growth in GiB an hour, and whether its oldest lines are gone."""
        now, looks = self._clock.monotonic(), self._looked.setdefault(task_id, deque())
        if not looks or now - looks[-1][0] >= LOOK_SECONDS:
            extent = self._extent_of(task_id)
            self._facts[task_id] = dict(NO_LOG) if extent is None else self._take(looks, extent, now)
        return self._facts[task_id]

    def _take(self, looks: deque[tuple[float, int]], extent: tuple[int, int], now: float) -> dict[str, float]:
        first, end = extent
        looks.append((now, end))
        while now - looks[0][0] > SPAN_SECONDS:
            looks.popleft()
        seconds = now - looks[0][0]
        pace = UNKNOWN
        if seconds >= SPAN_SECONDS / 2:
            pace = max(0, end - looks[0][1]) / seconds * 3600.0 / _GIB
        return {"log_growth": pace, "log_has_lost": 1.0 if first > 0 else 0.0}


#: The facts of a log that nobody looks at.
NO_LOG = {"log_growth": UNKNOWN, "log_has_lost": UNKNOWN}
