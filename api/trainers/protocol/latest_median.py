"""The median of the latest values, kept sorted because every step asks for it."""

from bisect import bisect_left, insort
from collections.abc import Iterable


class LatestMedian:
    """Takes values one by one; its median is that of the latest 50."""

    LIMIT = 50

    def __init__(self, values: Iterable[float] = ()) -> None:
        self.latest: list[float] = list(values)[-self.LIMIT :]
        self._sorted = sorted(self.latest)

    def add(self, value: float) -> float:
        """Adds a value; returns the median with it."""
        self.latest.append(value)
        insort(self._sorted, value)
        if len(self.latest) > self.LIMIT:
            del self._sorted[bisect_left(self._sorted, self.latest.pop(0))]
        middle, ordered = len(self._sorted) // 2, self._sorted
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
