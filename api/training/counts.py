"""Numbers of trainings by status, for prometheus-client."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric

from api.domain.training import TaskStatus
from api.errors import DatabaseUnavailable
from api.util.clock import Clock
from api.util.deadlines import READ_SECONDS, wait_limit


class TrainingCounts:
    """Collects the numbers. While the database is unavailable it repeats the last ones with their age."""

    def __init__(self, count: Callable[[], Mapping[TaskStatus, int]], clock: Clock) -> None:
        self._count = count
        self._clock = clock
        self._known: tuple[Mapping[TaskStatus, int], float] | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, or nothing before the first successful query."""
        now = self._clock.monotonic()
        try:
            with wait_limit(READ_SECONDS):
                self._known = (self._count(), now)
        except DatabaseUnavailable:
            if self._known is None:
                return
        counts, counted_at = self._known
        trainings = GaugeMetricFamily("diffusion_pipe_trainings", "Trainings by status.", labels=["status"])
        for status in TaskStatus:
            trainings.add_metric([status], counts.get(status, 0))
        yield trainings
        help_ = "Age of the number of trainings. Above 0 while the database is unavailable."
        yield GaugeMetricFamily("diffusion_pipe_trainings_age_seconds", help_, value=round(now - counted_at, 3))
