"""The machine at a glance, and the metrics for Prometheus."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from api.routes.access import answer_document, services
from api.routes.schemas import SystemOverviewAnswer
from api.utils.responses import answer

system = APIBlueprint("system", __name__, tag="System")

_METRICS: dict[int | str, dict[str, str | dict[str, dict[str, Any]]]] = {
    200: {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


@system.get("/api/v1/system/overview")
@system.output(SystemOverviewAnswer)
def get_overview() -> Response:
    """The machine, its GPUs and tasks at a glance

    CPU, memory and disks, GPUs in figures, tasks by status, and how long the service has run.
    """
    return answer(services().system.get_overview())


@system.get("/api/v1/metrics")
@system.doc(responses=_METRICS)
def get_metrics() -> Response:
    """Metrics for Prometheus

    The GPU series carry the names that Grafana dashboards 14574 and 25547 query. They are as of the last sweep.
    """
    return answer_document(request.path)


@system.get("/metrics")
@system.doc(responses=_METRICS)
def get_metrics_at_root() -> Response:
    """Metrics for Prometheus, where it looks by default

    The same as `/api/v1/metrics`.
    """
    return answer_document(request.path)
