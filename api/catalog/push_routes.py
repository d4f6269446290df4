"""Routes of pushes to a hub."""

from apiflask import APIBlueprint
from flask import Response

from api.catalog.push_schemas import PushAnswer, PushesQuery, PushListAnswer, StartPush
from api.catalog.transfer_answers import answer_end, answer_queued
from api.domain.access import current_principal
from api.util.base_path import BASE_PATH
from api.web.idempotency_routes import TAKES_KEY, earlier_result, idempotency_scope, idempotent
from api.web.responses import answer, services

pushes = APIBlueprint("pushes", __name__, url_prefix=f"{BASE_PATH}/models", tag="Models")


@pushes.post("/registry/<name>/versions/<version>/push")
@pushes.input(StartPush)
@pushes.output(PushAnswer, status_code=202)
@pushes.doc(responses=[400, 404, 409, 415, 422, 503, 507], extensions=TAKES_KEY)
@idempotent
def start_push(name: str, version: str, json_data: StartPush) -> Response:
    """Push a version to a Hugging Face repository.

    One commit adds the file, its samples and a generated model card. Files that the repository already has are not
    sent again. If it has all of them, nothing is committed.
    """
    principal = current_principal.get()
    order, token = json_data.order(), json_data.secret()
    if before := earlier_result():
        made = services().pushes.get(before.about)
    else:
        made = services().pushes.start(name, version, order, token, principal, idempotency_scope())
    return answer_queued(made)


@pushes.get("/pushes")
@pushes.input(PushesQuery, location="query")
@pushes.output(PushListAnswer)
@pushes.doc(responses=[422])
def list_pushes(query_data: PushesQuery) -> Response:
    """List pushes, newest first.

    The list holds the pushes that you may see.
    """
    page = services().pushes.get_page(query_data.page(), query_data.model)
    return answer({"pushes": page.rows, "pagination": page.pagination})


@pushes.get("/push/<task_id>")
@pushes.output(PushAnswer)
@pushes.doc(responses=[404])
def get_push(task_id: str) -> Response:
    """Get a push.

    The answer has the progress of each file and the commit once it exists. For a failed push it has the cause and a
    remedy.
    """
    return answer(services().pushes.get(task_id))


@pushes.post("/push/<task_id>/pause")
@pushes.output(PushAnswer, status_code=202)
@pushes.doc(responses=[404, 409, 503])
def pause_push(task_id: str) -> Response:
    """Pause a push.

    Files that the hub has received completely are not sent again. The request has no body.
    """
    return answer_end(services().pushes.pause(task_id, current_principal.get().actor))


@pushes.post("/push/<task_id>/resume")
@pushes.output(PushAnswer, status_code=202)
@pushes.doc(responses=[404, 409, 503])
def resume_push(task_id: str) -> Response:
    """Resume a push.

    The push must be paused or failed. The request has no body.
    """
    return answer_queued(services().pushes.resume(task_id, current_principal.get().actor))


@pushes.post("/push/<task_id>/cancel")
@pushes.output(PushAnswer, status_code=202)
@pushes.doc(responses=[404, 409, 503])
def cancel_push(task_id: str) -> Response:
    """Cancel a push.

    A cancelled push cannot be resumed. A paused or failed push can be cancelled too. Committed files stay in the
    repository. The request has no body.
    """
    return answer_end(services().pushes.cancel(task_id, current_principal.get().actor))
