"""Build this process's series of /metrics."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from api import __version__
from api.db.database import Database
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskStatus
from api.errors import DatabaseUnavailable
from api.training.records.task_store import TaskStore
from api.util import measures
from api.util.clock import Clock
from api.util.deadlines import READ_SECONDS, wait_limit
from api.web.access_log import HTTPMetrics


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


class ProcessMetrics:
    """The collectors of metrics, and their text for scrapers."""

    def __init__(self, http_metrics: HTTPMetrics, database: Database, clock: Clock) -> None:
        counts = TrainingCounts(TaskStore(database, TaskType.TRAINING).count_by_status, clock)
        self._first: Sequence[Collector] = (http_metrics,)
        self._then: list[Collector] = [_Build(), counts, *measures.ALL]

    def add(self, *collectors: Collector) -> None:
        """Add collectors, before the first scrape."""
        self._then += collectors

    def render(self, is_open: bool) -> bytes:
        """Return the text of all series: OpenMetrics with exemplars, or the Prometheus text format without."""
        if not is_open:
            return generate_latest(self._registry)
        text: bytes = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]
        return text

    @functools.cached_property
    def _registry(self) -> CollectorRegistry:
        registry = CollectorRegistry()
        for each in self._first:
            registry.register(each)
        ProcessCollector(registry=registry)
        for each in self._then:
            registry.register(each)
        return registry


class _Build:
    """The version of the service."""

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("diffusion_pipe_build_info", "The version of the service.", labels=["version"])
        family.add_metric([__version__], 1)
        yield family
