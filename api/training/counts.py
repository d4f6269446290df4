"""How many trainings are in which status, for prometheus-client."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric

from api.domain.training import TaskStatus
from api.errors import DatabaseUnavailable
from api.util.clock import Clock
from api.util.deadlines import READ_SECONDS, hurrying


class TrainingCounts:
    """Collects the counts; while the database does not answer, those that it last told, with their age."""

    def __init__(self, count: Callable[[], Mapping[TaskStatus, int]], clock: Clock) -> None:
        self._count = count
        self._clock = clock
        self._known: tuple[Mapping[TaskStatus, int], float] | None = None

    def collect(self) -> Iterator[Metric]:
        """The series for prometheus-client; none before anything is known."""
        now = self._clock.monotonic()
        try:
            with hurrying(READ_SECONDS):
                self._known = (self._count(), now)
        except DatabaseUnavailable:
            if self._known is None:
                return
        counts, counted_at = self._known
        trainings = GaugeMetricFamily("diffusion_pipe_trainings", "Trainings by status.", labels=["status"])
        for status in TaskStatus:
            trainings.add_metric([status], counts.get(status, 0))
        yield trainings
        help_ = "Age of the numbers of trainings: above 0 while the database does not answer."
        yield GaugeMetricFamily("diffusion_pipe_trainings_age_seconds", help_, value=round(now - counted_at, 3))
