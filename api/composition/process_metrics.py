"""Builds this process's series of /metrics."""

import functools
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from api import __version__
from api.db.database import Database
from api.domain.task import TaskType
from api.training.counts import TrainingCounts
from api.training.store import TaskStore
from api.util import measures
from api.util.clock import Clock
from api.web.access_log import HTTPMetrics


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
