"""Routes of sweeps: plan, create, show, stop."""

from apiflask import APIBlueprint
from flask import Response

from api.domain.access.principal import current_principal
from api.domain.finding import CONFIGURATION_TOO_LARGE, make_finding
from api.errors import Invalid
from api.training.routes import MAX_DEPTH, MAX_VALUES, read_start
from api.training.sweeps.schemas import CreateSweep, SweepList
from api.training.sweeps.variants import read_variants
from api.training.sweeps.views import SweepDetails, SweepResult
from api.util.http.base_path import BASE_PATH
from api.util.http.validation import excess
from api.web.idempotency_routes import earlier_result, idempotent
from api.web.responses import answer, services
from api.web.schemas import PageQuery, envelope_of

sweeps = APIBlueprint("sweeps", __name__, url_prefix=f"{BASE_PATH}/sweeps", tag="Training")

#: Descriptions of the other answers. 200 has the same form as 201.
_CREATED: dict[int, str] = {
    200: "The plan.",
    400: "Bad request",
    409: "Conflict",
    415: "Unsupported media type",
    422: "Unprocessable entity",
    503: "Service unavailable",
    507: "Insufficient storage",
}


@sweeps.post("")
@sweeps.input(CreateSweep)
@sweeps.output(envelope_of(SweepResult), status_code=201)
@sweeps.doc(responses=_CREATED)
@idempotent
def create_sweep(json_data: CreateSweep) -> Response:
    """Start trainings with several values.

    Every combination of the values becomes a training with the rest of the `request`, at most 64. Each is checked like
    a start; errors name the combination. With `plan_only` the answer is 200 with the plan: trainings, time, GPU hours
    and disk space. Otherwise all trainings are queued, or none. `early_stop` stops unpromising trainings with a
    checkpoint; its rule is in the answer.
    """
    if before := earlier_result():
        made = services().training.sweeps.get(before.about)
    else:
        too_much = excess([json_data.request, json_data.values], depth=MAX_DEPTH, count=MAX_VALUES)
        if too_much is not None:
            raise Invalid(mistakes=[make_finding("/request", CONFIGURATION_TOO_LARGE, why=too_much)])
        wanted = read_variants(json_data.request, json_data.values, json_data.name, read_start)
        principal = current_principal.get()
        rule = None if json_data.early_stop is None else json_data.early_stop.rule()
        if json_data.plan_only:
            return answer(SweepResult(services().training.sweeps.plan(wanted, rule, principal.owner), None))
        made = services().training.sweeps.create(wanted, rule, principal.actor, principal.owner)
    return answer(SweepResult(None, made), 201, "created", {"Location": f"{BASE_PATH}/sweeps/{made.sweep_id}"})


@sweeps.get("")
@sweeps.input(PageQuery, location="query")
@sweeps.output(envelope_of(SweepList))
@sweeps.doc(responses=[422])
def list_sweeps(query_data: PageQuery) -> Response:
    """List sweeps, newest first.

    A sweep disappears when its last training is deleted.
    """
    page = services().training.sweeps.get_page(query_data.page())
    return answer({"sweeps": page.rows, "pagination": page.pagination})


@sweeps.get("/<sweep_id>")
@sweeps.output(envelope_of(SweepDetails, "Sweep"))
@sweeps.doc(responses=[404])
def get_sweep(sweep_id: str) -> Response:
    """Show a sweep with its trainings.

    Its status follows from theirs. A training that the rule has stopped has the figures in `stop.reason`.
    """
    return answer(services().training.sweeps.get(sweep_id))


@sweeps.post("/<sweep_id>/stop")
@sweeps.output(envelope_of(SweepDetails, "Sweep"), status_code=202)
@sweeps.doc(responses=[404, 503])
def stop_sweep(sweep_id: str) -> Response:
    """Stop all trainings of a sweep.

    Queued ones are cancelled, running ones save a checkpoint and end. Those that have ended stay. No body is needed.
    """
    stopped = services().training.sweeps.stop(sweep_id, current_principal.get())
    return answer(stopped, 202, str(stopped.status), {"Location": f"{BASE_PATH}/sweeps/{sweep_id}"})
