"""Preprocessing: started, followed, cancelled; its logs and events are those of any task."""

from apiflask import APIBlueprint
from flask import Response, request

from api.datasets.preprocess_schemas import (
    PreprocessAnswer,
    PreprocessEventsAnswer,
    PreprocessListAnswer,
    PreprocessListQuery,
    StartPreprocess,
    UploadForm,
)
from api.domain.access import current_principal
from api.logs.routes import page_of_log, search_log
from api.logs.schemas import DownloadQuery, LogsAnswer, LogsQuery, SearchAnswer, SearchQuery
from api.training.schemas import DeletedAnswer
from api.util.base_path import BASE_PATH
from api.util.responses import answer, answer_file
from api.web.context import services
from api.web.idempotency_routes import TAKES_KEY, idempotency_scope, idempotent, made_before
from api.web.schemas import PageQuery, file_responses
from api.web.taken_form import read_fields, taken_form

preprocess = APIBlueprint("preprocess", __name__, url_prefix=f"{BASE_PATH}/preprocess", tag="Preprocessing")


@preprocess.post("/upload")
@preprocess.output(PreprocessAnswer, status_code=202)
@preprocess.doc(responses=[400, 403, 409, 413, 415, 422, 503, 507])
@idempotent
def upload_file() -> Response:
    """Upload a file by form

    `video` or `file` is one image or video, or a zip or tar of them with their captions. A task looks into it and makes
    a version of the dataset. What may be cut off is better sent to `/uploads`, where it can be resumed.
    """
    form = taken_form()
    fields, mistakes = read_fields(form, UploadForm)
    if before := made_before():
        made = services().forms.get(services().uploads.get(before.about).task_id or "")
    else:
        made = services().forms.take(form, None if fields is None else fields.settings(), mistakes)
    return answer(made, 202, "accepted", {"Location": f"{BASE_PATH}/preprocess/status/{made.task_id}"})


@preprocess.post("/start")
@preprocess.input(StartPreprocess)
@preprocess.output(PreprocessAnswer, status_code=202)
@preprocess.doc(responses=[400, 404, 409, 415, 422, 503, 507], extensions=TAKES_KEY)
@idempotent
def start_preprocess(json_data: StartPreprocess) -> Response:
    """Preprocess a dataset

    Re-time, scale, crop, cut, convert and normalise captions. Files are written anew only where something changes, and
    what was made of the same file with the same settings before is not made again. The result is a new version with
    its `dataset.toml`; nothing that is there changes. `PREPROCESS_PARALLEL` tasks work at a time.
    """
    service, asks = services().preprocessing, current_principal.get()
    if before := made_before():
        where = f"{BASE_PATH}/preprocess/status/{before.about}"
        return answer(service.get(before.about), 202, "accepted", {"Location": where})
    dataset = json_data.dataset or service.find_directory(json_data.directory or "")
    made = service.start(json_data.wish(dataset), asks, idempotency_scope())
    return answer(made, 202, "accepted", {"Location": f"{BASE_PATH}/preprocess/status/{made.task_id}"})


@preprocess.get("/list")
@preprocess.input(PreprocessListQuery, location="query")
@preprocess.output(PreprocessListAnswer)
@preprocess.doc(responses=[422])
def list_preprocess(query_data: PreprocessListQuery) -> Response:
    """Preprocessing tasks, newest first

    Those that one may see. Filters are joined by and. What was asked of each is under `/preprocess/status/{task_id}`.
    """
    query = query_data
    page = services().preprocessing.get_page(query.status, query.search, query.owner, query.page())
    return answer({"tasks": page.rows, "pagination": page.pagination})


@preprocess.get("/status/<task_id>")
@preprocess.output(PreprocessAnswer)
@preprocess.doc(responses=[404])
def get_preprocess(task_id: str) -> Response:
    """How far a task is, and what it has made

    Also of an upload by form; of a single file `result` says what it is, of others the dataset lists its items.
    `result.reference` can stand in a request for a training, as can the text `result.dataset_toml`.
    """
    return answer(services().preprocessing.get(task_id))


@preprocess.post("/<task_id>/cancel")
@preprocess.output(PreprocessAnswer, status_code=202)
@preprocess.doc(responses=[404, 409, 503])
def cancel_preprocess(task_id: str) -> Response:
    """Cancel a preprocessing task

    What it has made of whole files is kept for the next one with the same settings. Asked again: the same answer. It
    takes no body.
    """
    return answer(services().preprocessing.cancel(task_id, current_principal.get().actor), 202, "accepted")


@preprocess.delete("/<task_id>")
@preprocess.output(DeletedAnswer)
@preprocess.doc(responses=[404, 409, 503])
def delete_preprocess(task_id: str) -> Response:
    """Delete a finished preprocessing task

    With its files: log, records and what was laid out for it. The version that it made stays, and so does what was made
    of single files: a next one with the same settings does not make it again. It takes no body.
    """
    return answer(services().preprocessing.delete(task_id), message="deleted")


@preprocess.get("/<task_id>/events")
@preprocess.input(PageQuery, location="query")
@preprocess.output(PreprocessEventsAnswer)
@preprocess.doc(responses=[404, 422])
def get_preprocess_events(task_id: str, query_data: PageQuery) -> Response:
    """What happened to a preprocessing task

    Its state changes, oldest first, with who and why.
    """
    page = services().preprocessing.get_events(task_id, query_data.page())
    return answer({"events": page.rows, "pagination": page.pagination})


@preprocess.get("/<task_id>/logs")
@preprocess.input(LogsQuery, location="query")
@preprocess.output(LogsAnswer)
@preprocess.doc(responses=[404, 422])
def get_preprocess_logs(task_id: str, query_data: LogsQuery) -> Response:
    """Lines of a preprocessing task's log

    As of a training's: the last 200 unless `tail`, `offset` or `since` say otherwise.
    """
    return page_of_log(services().logs.find(task_id), query_data)


@preprocess.get("/<task_id>/logs/search")
@preprocess.input(SearchQuery, location="query")
@preprocess.output(SearchAnswer)
@preprocess.doc(responses=[400, 404, 422, 503])
def search_preprocess_logs(task_id: str, query_data: SearchQuery) -> Response:
    """Search a preprocessing task's log

    As in a training's log, with the same bounds.
    """
    return search_log(services().logs.find(task_id), query_data)


@preprocess.get("/<task_id>/logs/download")
@preprocess.input(DownloadQuery, location="query")
@preprocess.doc(responses=file_responses("The log.", "No such task.", "application/octet-stream", "text/plain"))
def download_preprocess_logs(task_id: str, query_data: DownloadQuery) -> Response:
    """Download a preprocessing task's log

    All bytes as they were written, as one file. Streamed; `Range` asks for a part.
    """
    return answer_file(request.environ, services().logs.open_download(task_id, query_data.inline))
