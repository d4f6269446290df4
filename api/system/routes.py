"""The machine at a glance, and the metrics for Prometheus."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from api.domain.access import current_principal
from api.nodes.schemas import ServerListAnswer
from api.training.hold_schemas import HoldAnswer, HoldListAnswer, MakeHold
from api.util.base_path import BASE_PATH
from api.util.responses import answer
from api.web.context import answer_document, services
from api.web.idempotency_routes import idempotent, made_before
from api.web.optional_body import body_is_optional
from api.web.schemas import StopStray, StrayAnswer, StrayListAnswer, SystemOverviewAnswer

system = APIBlueprint("system", __name__, tag="System")

_METRICS: dict[int | str, dict[str, str | dict[str, dict[str, Any]]]] = {
    200: {
        "description": "Prometheus text, or OpenMetrics where Accept asks for it",
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "application/openmetrics-text": {"schema": {"type": "string"}},
        },
    }
}


@system.get(f"{BASE_PATH}/system/overview")
@system.output(SystemOverviewAnswer)
def get_overview() -> Response:
    """The machine, its GPUs and tasks at a glance

    CPU, memory and disks, GPUs in figures, tasks by status, and how long the service has run.
    """
    return answer(services().system.get_overview())


@system.get(f"{BASE_PATH}/system/servers")
@system.output(ServerListAnswer)
@system.doc(responses=[503])
def list_servers() -> Response:
    """The servers that share this database, oldest first

    Where each runs, its version, whether it is there, and what it does alone for all: who gives GPUs away leads in
    `queue`. One that was not heard for 35 s is `unknown`: it may live; after a day it is forgotten.
    """
    return answer({"servers": services().servers.list()})


@system.get(f"{BASE_PATH}/system/strays")
@system.output(StrayListAnswer)
@system.doc(responses=[503])
def list_strays() -> Response:
    """Attempts that live here although the database does not know them

    After a database was restored or replaced. Their GPUs are `busy` until they end; those of a task that waits are
    taken up again and are not in this list.
    """
    return answer({"strays": services().strays.list()})


@system.post(f"{BASE_PATH}/system/strays/<attempt_uid>/stop")
@system.input(StopStray)
@system.output(StrayAnswer, status_code=202)
@system.doc(responses=[400, 404, 415, 503])
@body_is_optional
def stop_stray(attempt_uid: str, json_data: StopStray) -> Response:
    """Stop an attempt that the database does not know

    With a checkpoint where its trainer can make one; `force` leaves it out. Its GPUs are free soon after it has ended.
    """
    return answer(services().strays.stop(attempt_uid, json_data.force), 202, "stopping")


@system.get(f"{BASE_PATH}/system/holds")
@system.output(HoldListAnswer)
@system.doc(responses=[503])
def list_holds() -> Response:
    """What is held back, oldest first

    The queue, of which then nothing begins, and GPUs that nobody gets. What runs goes on.
    """
    return answer({"holds": services().holds.list()})


@system.post(f"{BASE_PATH}/system/holds")
@system.input(MakeHold)
@system.output(HoldAnswer, status_code=201)
@system.doc(responses=[400, 404, 409, 415, 422, 503])
@idempotent
def make_hold(json_data: MakeHold) -> Response:
    """Hold the queue, or a GPU

    Until the hold is ended: nothing of the queue begins, or nobody gets the GPU. What runs goes on.
    """
    holds, by = services().holds, current_principal.get().actor
    if before := made_before():
        return answer(holds.get(before.about), 201, "held")
    if json_data.gpu_id is None:
        return answer(holds.hold_queue(json_data.reason, by), 201, "held")
    return answer(holds.hold_gpu(str(json_data.gpu_id), json_data.reason, by), 201, "held")


@system.delete(f"{BASE_PATH}/system/holds/<hold_id>")
@system.output(HoldAnswer)
@system.doc(responses=[404, 503])
def end_hold(hold_id: str) -> Response:
    """End a hold

    Of one that an alert's rule has made, too. Where another holds the same, it stays held back.
    """
    return answer(services().holds.end(hold_id), message="ended")


@system.get(f"{BASE_PATH}/metrics")
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
