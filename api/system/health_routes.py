"""Health and readiness of the service; both require no key."""

from apiflask import APIBlueprint
from flask import Response

from api.web.responses import answer, services
from api.web.schemas import HealthAnswer, ReadinessAnswer

health = APIBlueprint("health", __name__, url_prefix="/health", tag="System")


@health.get("")
@health.output(HealthAnswer)
@health.doc(responses=[503])
def get_health() -> Response:
    """Check that the service is alive.

    Requires no key, and reads neither GPUs nor trainings. `/health/ready` reports whether responses can be relied on.
    `degraded` lists what does not work at present, such as an unavailable database. 503 (`storage_gone`,
    `database_damaged`) means that the service can store nothing until someone fixes it; the message has the remedy.
    """
    return answer(services().system.get_health())


@health.get("/ready")
@health.output(ReadinessAnswer)
@health.doc(responses=[503])
def get_readiness() -> Response:
    """Check that GPU readings are current.

    503 with the reasons if readings are older than 3 sweeps, if NVML fails on a machine that has it, or if nothing can
    be stored: the database is unavailable, damaged, or another one than at the start.
    """
    return answer(services().system.get_readiness())
