"""Store the last day of each GPU in a ring of numbers.

Limits: 17,280 samples per GPU at one per 5 s (24 h), and at most 86,400 at one per second or faster. A sample takes 17
bytes per GPU, and 8 for the shared time: 0.3 MB per GPU at 5 s, 1.5 MB at most.
"""

import math
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from api.domain.machines.history import HistoryPoint, Metric
from api.domain.machines.reading import GPUVitals
from api.gpus.snapshot import GPUReading
from api.util.http.validation import forget_absent

DAY_SECONDS = 86_400

#: The maximum number of points in one answer; the step is widened to keep it.
MAX_POINTS = 2_000


UNITS = {
    Metric.UTILIZATION_GPU: "%",
    Metric.UTILIZATION_MEMORY: "%",
    Metric.MEMORY_USED: "MB",
    Metric.TEMPERATURE_GPU: "°C",
    Metric.TEMPERATURE_MEMORY: "°C",
    Metric.POWER_USAGE: "W",
    Metric.CLOCK_SM: "MHz",
    Metric.FAN_SPEED: "%",
}

# The storage of each metric: a type of `array`, a factor, and the number that means unknown.
_STORED: dict[Metric, tuple[str, int, int]] = {
    Metric.UTILIZATION_GPU: ("B", 1, 255),
    Metric.UTILIZATION_MEMORY: ("B", 1, 255),
    Metric.MEMORY_USED: ("i", 1, -1),
    Metric.TEMPERATURE_GPU: ("h", 1, -32_768),
    Metric.TEMPERATURE_MEMORY: ("h", 1, -32_768),
    Metric.POWER_USAGE: ("i", 10, -1),
    Metric.CLOCK_SM: ("h", 1, -32_768),
    Metric.FAN_SPEED: ("B", 1, 255),
}


def _values(vitals: GPUVitals) -> tuple[float | None, ...]:
    """Return the values of all metrics, in the order of Metric."""
    return (
        vitals.utilization_gpu,
        vitals.utilization_memory,
        vitals.memory_used_mb,
        vitals.temperature_gpu,
        vitals.temperature_memory,
        vitals.power_watts,
        vitals.clocks.sm,
        vitals.fan_percent,
    )


_NOTHING = _values(GPUVitals())


class _Ring:
    """The samples of one GPU, aligned with the shared times. It grows until it is full, then overwrites."""

    def __init__(self, skipped: int) -> None:
        self.columns = {metric: array(code) for metric, (code, _, _) in _STORED.items()}
        for metric, (_, _, unknown) in _STORED.items():
            self.columns[metric].extend([unknown] * skipped)

    def put(self, position: int, values: Sequence[float | None]) -> None:
        for (metric, (_, factor, unknown)), value in zip(_STORED.items(), values, strict=True):
            column = self.columns[metric]
            stored = unknown if value is None else round(value * factor)
            if position == len(column):
                column.append(stored)
            else:
                column[position] = stored


@dataclass(frozen=True, slots=True)
class Series:
    """A part of the history, with one point per `step` seconds."""

    step: float
    points: tuple[HistoryPoint, ...]


class GPUHistory:
    """Records one sample per snapshot; reads them downsampled."""

    def __init__(self, interval: float) -> None:
        self._interval = max(1.0, interval)
        self._capacity = math.ceil(DAY_SECONDS / self._interval)
        self._lock = threading.Lock()
        self._times = array("d")
        self._rings: dict[str, _Ring] = {}
        self._next = 0
        self._latest = self._recorded = float("-inf")

    def record(self, time: float, monotonic: float, gpus: Iterable[tuple[GPUReading, bool]]) -> None:
        """Record one sample of each GPU at `time` (Unix seconds). Each GPU's flag means that this sweep has read it."""
        with self._lock:
            # More than one sample per second would exceed the documented size of the ring.
            if monotonic - self._recorded < 0.9 * self._interval:
                return
            self._recorded = monotonic
            if time < self._latest:
                # The clock was set back: unordered times cannot be searched.
                self._times, self._rings, self._next = array("d"), {}, 0
            self._latest = time
            position = self._next
            is_growing = position == len(self._times)
            if is_growing:
                self._times.append(time)
            else:
                self._times[position] = time
            seen = set()
            for gpu, is_fresh in gpus:
                if gpu.uuid is None:
                    continue
                seen.add(gpu.uuid)
                ring = self._rings.get(gpu.uuid)
                if ring is None:
                    # Samples before this GPU was first seen are unknown.
                    ring = self._rings[gpu.uuid] = _Ring(position if is_growing else len(self._times))
                ring.put(position, _values(gpu.vitals) if gpu.vitals is not None and is_fresh else _NOTHING)
            forget_absent(self._rings, seen)
            for uuid in self._rings.keys() - seen:
                self._rings[uuid].put(position, _NOTHING)
            self._next = (position + 1) % self._capacity

    def read(self, uuid: str, metric: Metric, since: float, until: float, step: float | None) -> Series:
        """Return the mean, minimum and maximum of each step from `since` to `until` (Unix seconds).

        A step without readings has nulls. The step is chosen if it is not given, or would give more than 2,000 points.
        """
        samples = self._samples(uuid, metric, since, until)
        if not samples:
            return Series(step=step or self._interval, points=())
        first = samples[0][0]
        widest = (samples[-1][0] - first) / (MAX_POINTS - 1)
        width = max(step or (samples[-1][0] - first) / 500, widest, self._interval)
        buckets: dict[int, list[float]] = {}
        for time, value in samples:
            bucket = buckets.setdefault(int((time - first) / width), [])
            if value is not None:
                bucket.append(value)
        points = [_point(first + index * width, buckets.get(index, [])) for index in range(max(buckets) + 1)]
        return Series(step=round(width, 3), points=tuple(points))

    def averages(self, uuid: str, metric: Metric, since: float, until: float, step: float) -> dict[int, float]:
        """Return the mean of each step by its number since 1970; NaN for a step without readings."""
        sums: dict[int, tuple[float, int]] = {}
        for time, value in self._samples(uuid, metric, since, until):
            total, count = sums.get(int(time // step), (0.0, 0))
            sums[int(time // step)] = (total, count) if value is None else (total + value, count + 1)
        return {number: total / count if count else math.nan for number, (total, count) in sums.items()}

    def _samples(self, uuid: str, metric: Metric, since: float, until: float) -> list[tuple[float, float | None]]:
        _, factor, unknown = _STORED[metric]
        with self._lock:
            ring = self._rings.get(uuid)
            if ring is None:
                return []
            column = ring.columns[metric]
            found: list[tuple[float, int]] = []
            for start, end in self._segments():
                low = bisect_left(self._times, since, start, end)
                high = bisect_right(self._times, until, start, end)
                found.extend(zip(self._times[low:high], column[low:high], strict=True))
        return [(time, None if value == unknown else value / factor) for time, value in found]

    def _segments(self) -> tuple[tuple[int, int], ...]:
        """Return the ring from its oldest to its newest sample, as ranges of positions."""
        count = len(self._times)
        return ((0, count),) if count < self._capacity else ((self._next, count), (0, self._next))


def _point(time: float, values: Sequence[float]) -> HistoryPoint:
    timestamp = HistoryPoint.time_of(time)
    if not values:
        return HistoryPoint(timestamp=timestamp, value=None, min=None, max=None)
    return HistoryPoint(
        timestamp=timestamp, value=round(sum(values) / len(values), 2), min=min(values), max=max(values)
    )
