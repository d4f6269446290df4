"""Pushes of versions to a hub."""

from apiflask import APIBlueprint
from flask import Response

from api.catalog.push_schemas import PushAnswer, PushesQuery, PushListAnswer, StartPush
from api.catalog.transfer_answers import answer_end
from api.domain.access import current_principal
from api.util.base_path import BASE_PATH
from api.util.responses import answer
from api.web.context import services
from api.web.idempotency_routes import TAKES_KEY, idempotency_scope, idempotent, made_before

pushes = APIBlueprint("pushes", __name__, url_prefix=f"{BASE_PATH}/models", tag="Models")


@pushes.post("/registry/<name>/versions/<version>/push")
@pushes.input(StartPush)
@pushes.output(PushAnswer, status_code=202)
@pushes.doc(responses=[400, 404, 409, 415, 422, 503, 507], extensions=TAKES_KEY)
@idempotent
def start_push(name: str, version: str, json_data: StartPush) -> Response:
    """Push a version to a Hugging Face repository

    Its file, its samples and a model card made of what is known of it, as one commit. What the repository has already
    is not sent again; when it has all of it, nothing is committed.
    """
    asks = current_principal.get()
    order, token = json_data.order(), json_data.secret()
    if before := made_before():
        made = services().pushes.get(before.about)
    else:
        made = services().pushes.start(name, version, order, token, asks, idempotency_scope())
    return answer(made, 202, "queued", {"Location": f"{BASE_PATH}/models/push/{made.push_id}"})


@pushes.get("/pushes")
@pushes.input(PushesQuery, location="query")
@pushes.output(PushListAnswer)
@pushes.doc(responses=[422])
def list_pushes(query_data: PushesQuery) -> Response:
    """Pushes, newest first

    Those that one may see.
    """
    page = services().pushes.get_page_of(query_data.model, query_data.page())
    return answer({"pushes": page.rows, "pagination": page.pagination})


@pushes.get("/push/<task_id>")
@pushes.output(PushAnswer)
@pushes.doc(responses=[404])
def get_push(task_id: str) -> Response:
    """One push

    Its files with how much of each was sent, and the commit once it is made; of one that failed why, and what to do.
    """
    return answer(services().pushes.get(task_id))


@pushes.post("/push/<task_id>/pause")
@pushes.output(PushAnswer, status_code=202)
@pushes.doc(responses=[404, 409, 503])
def pause_push(task_id: str) -> Response:
    """Pause a push

    Files that the hub has whole are not sent again. It takes no body.
    """
    return answer_end(services().pushes.pause(task_id, current_principal.get().actor))


@pushes.post("/push/<task_id>/resume")
@pushes.output(PushAnswer, status_code=202)
@pushes.doc(responses=[404, 409, 503])
def resume_push(task_id: str) -> Response:
    """Let a push go on

    One that was paused, or that failed. It takes no body.
    """
    return answer(services().pushes.resume(task_id, current_principal.get().actor), 202, "queued")


@pushes.post("/push/<task_id>/cancel")
@pushes.output(PushAnswer, status_code=202)
@pushes.doc(responses=[404, 409, 503])
def cancel_push(task_id: str) -> Response:
    """Cancel a push

    For good, also one that was paused or failed: it cannot be resumed. What was committed stays. It takes no body.
    """
    return answer_end(services().pushes.cancel(task_id, current_principal.get().actor))
