"""Whether the service lives, and whether its answers can be relied on. Open to all."""

from apiflask import APIBlueprint
from flask import Response

from api.util.responses import answer
from api.web.context import services
from api.web.schemas import HealthAnswer, ReadinessAnswer

health = APIBlueprint("health", __name__, url_prefix="/health", tag="System")


@health.get("")
@health.output(HealthAnswer)
@health.doc(responses=[503])
def get_health() -> Response:
    """The service is alive

    Open to all, and asked without touching GPUs or trainings. Whether answers can be relied on: `/health/ready`.
    `degraded` names what does not work for now, such as a database that does not answer. 503 (`storage_gone`,
    `database_damaged`) when only a person can make the service keep anything again, with what to do.
    """
    return answer(services().system.get_health())


@health.get("/ready")
@health.output(ReadinessAnswer)
@health.doc(responses=[503])
def get_readiness() -> Response:
    """Its readings can be relied on

    503 with the reasons when readings are older than 3 sweeps, NVML fails on a machine that has it, or nothing can be
    kept: the database does not answer, is damaged, or is not the one of the start any more.
    """
    return answer(services().system.get_readiness())
