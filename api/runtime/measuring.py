"""The series of this process in /metrics, put together; a part of the composition root."""

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from api import __version__
from api.models.task import TaskType
from api.services.training.counts import TrainingCounts
from api.shell.access_log import HTTPMetrics
from api.storage.database import Database
from api.storage.tasks import TaskStore
from api.utils import measures
from api.utils.clock import Clock


def create_registry(http_metrics: HTTPMetrics, database: Database, clock: Clock) -> CollectorRegistry:
    """The registry with what is there from the beginning."""
    registry = CollectorRegistry()
    registry.register(http_metrics)
    ProcessCollector(registry=registry)
    Gauge("diffusion_pipe_build_info", "The version of the service.", ["version"], registry=registry).labels(
        __version__
    ).set(1)
    registry.register(TrainingCounts(TaskStore(database, TaskType.TRAINING).count_by_status, clock))
    register_all(registry, *measures.ALL)
    return registry


def register_all(registry: CollectorRegistry, *collectors: Collector) -> None:
    """Adds what has series of its own."""
    for each in collectors:
        registry.register(each)


def render(registry: CollectorRegistry, is_open: bool) -> bytes:
    """The text of all series: as OpenMetrics with exemplars, or as Prometheus' older one without."""
    if not is_open:
        return generate_latest(registry)
    text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
    return text
