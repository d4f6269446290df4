"""Preprocessing: a form with a file becomes a task that makes a dataset of it."""

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import ValidationError

from api.errors import Mistake
from api.models.upload import FormSettings
from api.routes.context import services
from api.routes.idempotency import idempotent
from api.routes.schemas.preprocess import PreprocessAnswer, UploadForm
from api.utils.base_path import BASE_PATH
from api.utils.responses import answer
from api.utils.taken_body import FORM, TakenForm
from api.utils.validation import mistakes_in

preprocess = APIBlueprint("preprocess", __name__, url_prefix=f"{BASE_PATH}/preprocess", tag="Datasets")


@preprocess.post("/upload")
@preprocess.output(PreprocessAnswer, status_code=202)
@preprocess.doc(responses=[400, 403, 409, 413, 415, 422, 503, 507])
@idempotent
def upload() -> Response:
    """Upload a file by form

    `video` or `file` is one image or video, or a zip or tar of them with their captions. A task looks into it and makes
    a version of the dataset. What may be cut off is better sent to `/uploads`, where it can be resumed.
    """
    form: TakenForm = request.environ["asgi.scope"]["state"][FORM]
    made = services().forms.take(form, *_read_settings(form))
    return answer(made, 202, "accepted", {"Location": f"{BASE_PATH}/preprocess/status/{made.task_id}"})


def _read_settings(form: TakenForm) -> tuple[FormSettings | None, list[Mistake]]:
    try:
        return UploadForm.model_validate({name: text for name, text in form.texts.items() if text}).settings(), []
    except ValidationError as error:
        return None, mistakes_in(error)


@preprocess.get("/status/<task_id>")
@preprocess.output(PreprocessAnswer)
@preprocess.doc(responses=[404])
def get_status(task_id: str) -> Response:
    """How far a task is, and what it has made

    `progress` is in percent. Of a single file `result` says what it is; of an archive the dataset lists its items.
    """
    return answer(services().forms.get(task_id))
