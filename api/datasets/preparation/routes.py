"""Routes for preprocessing tasks: start, status, cancel, delete, events and logs."""

from apiflask import APIBlueprint
from flask import Response, request

from api.datasets.preparation.schemas import (
    PreprocessEvents,
    PreprocessListQuery,
    PreprocessPage,
    StartPreprocess,
    UploadForm,
)
from api.datasets.preparation.views import PreprocessView
from api.domain.access.principal import current_principal
from api.domain.log import SearchResult, TaskLogPage
from api.logs.routes import page_of_log, search_log
from api.logs.schemas import DownloadQuery, LogsQuery, SearchQuery
from api.training.schemas import EventOrder, EventsQuery
from api.training.views import Deleted
from api.util.http.base_path import BASE_PATH
from api.web.bodies.form_fields import read_fields, taken_form
from api.web.idempotency_routes import TAKES_KEY, earlier_result, idempotency_scope, idempotent
from api.web.responses import answer, answer_file, services
from api.web.schemas import envelope_of, file_responses

preprocess = APIBlueprint("preprocess", __name__, url_prefix=f"{BASE_PATH}/preprocess", tag="Preprocessing")


@preprocess.post("/upload")
@preprocess.output(envelope_of(PreprocessView), status_code=202)
@preprocess.doc(responses=[400, 403, 409, 413, 415, 422, 503, 507])
@idempotent
def upload_dataset_file() -> Response:
    """Upload a file by form.

    `video` or `file` is one image or video, or a zip or tar of them with captions. A task examines the file and
    creates a version of the dataset. For large files or unstable connections use `/uploads`, which can be resumed.
    """
    form = taken_form()
    fields, mistakes = read_fields(form, UploadForm)
    if before := earlier_result():
        made = services().datasets.forms.get(services().datasets.uploads.get(before.about).task_id or "")
    else:
        made = services().datasets.forms.submit(form, None if fields is None else fields.settings(), mistakes)
    return answer(made, 202, "accepted", {"Location": f"{BASE_PATH}/preprocess/status/{made.task_id}"})


@preprocess.post("/start")
@preprocess.input(StartPreprocess)
@preprocess.output(envelope_of(PreprocessView), status_code=202)
@preprocess.doc(responses=[400, 404, 409, 415, 422, 503, 507], extensions=TAKES_KEY)
@idempotent
def start_preprocessing(json_data: StartPreprocess) -> Response:
    """Preprocess a dataset.

    Re-time, scale, crop, cut and convert files, and normalise captions. Only files that change are written, and
    results of earlier tasks for the same file and settings are reused. The result is a new version with its
    `dataset.toml`; existing versions do not change. At most `PREPROCESS_PARALLEL` tasks run at the same time.
    """
    service, principal = services().datasets.preprocessing, current_principal.get()
    if before := earlier_result():
        location = f"{BASE_PATH}/preprocess/status/{before.about}"
        return answer(service.get(before.about), 202, "accepted", {"Location": location})
    dataset = json_data.dataset or service.find_directory(json_data.directory or "")
    made = service.start(json_data.to_request(dataset), principal, idempotency_scope())
    return answer(made, 202, "accepted", {"Location": f"{BASE_PATH}/preprocess/status/{made.task_id}"})


@preprocess.get("/list")
@preprocess.input(PreprocessListQuery, location="query")
@preprocess.output(envelope_of(PreprocessPage, "PreprocessList"))
@preprocess.doc(responses=[422])
def list_preprocessing(query_data: PreprocessListQuery) -> Response:
    """List preprocessing tasks, newest first.

    Only tasks that the caller may see. Filters are combined with AND. `/preprocess/status/{task_id}` also returns the
    request of a task.
    """
    query = query_data
    page = services().datasets.preprocessing.get_page(query.status, query.search, query.owner, query.page())
    return answer({"tasks": page.rows, "pagination": page.pagination})


@preprocess.get("/status/<task_id>")
@preprocess.output(envelope_of(PreprocessView))
@preprocess.doc(responses=[404])
def get_preprocessing(task_id: str) -> Response:
    """Return the progress and result of a preprocessing task.

    Tasks of form uploads are included. For a single file `result` describes it; for several files list the items of
    the dataset. A training request can use `result.reference` or the text `result.dataset_toml`.
    """
    return answer(services().datasets.preprocessing.get(task_id))


@preprocess.post("/<task_id>/cancel")
@preprocess.output(envelope_of(PreprocessView), status_code=202)
@preprocess.doc(responses=[404, 409, 503])
def cancel_preprocessing(task_id: str) -> Response:
    """Cancel a preprocessing task.

    Results for complete files are kept and reused by the next task with the same settings. Repeating the request
    returns the same response. The request has no body.
    """
    cancelled = services().datasets.preprocessing.cancel(task_id, current_principal.get().actor)
    return answer(cancelled, 202, "accepted", {"Location": f"{BASE_PATH}/preprocess/status/{task_id}"})


@preprocess.delete("/<task_id>")
@preprocess.output(envelope_of(Deleted))
@preprocess.doc(responses=[404, 409, 503])
def delete_preprocessing(task_id: str) -> Response:
    """Delete a finished preprocessing task.

    Deletes its log, records and working files. The version that it created stays, and results for single files stay
    reusable by later tasks with the same settings. The request has no body.
    """
    return answer(services().datasets.preprocessing.delete(task_id), message="deleted")


@preprocess.get("/<task_id>/events")
@preprocess.input(EventsQuery, location="query")
@preprocess.output(envelope_of(PreprocessEvents))
@preprocess.doc(responses=[404, 422])
def list_preprocessing_events(task_id: str, query_data: EventsQuery) -> Response:
    """List the events of a preprocessing task.

    State changes with actor and reason.
    """
    is_newest_first = query_data.order is EventOrder.NEWEST
    page = services().datasets.preprocessing.get_events(task_id, query_data.page(), is_newest_first=is_newest_first)
    return answer({"events": page.rows, "pagination": page.pagination})


@preprocess.get("/<task_id>/logs")
@preprocess.input(LogsQuery, location="query")
@preprocess.output(envelope_of(TaskLogPage, "Logs"))
@preprocess.doc(responses=[404, 422])
def get_preprocessing_logs(task_id: str, query_data: LogsQuery) -> Response:
    """Return lines of a preprocessing task's log.

    Same as for trainings: the last 200 lines unless `tail`, `offset` or `since` is given.
    """
    return page_of_log(services().logs.find(task_id), query_data)


@preprocess.get("/<task_id>/logs/search")
@preprocess.input(SearchQuery, location="query")
@preprocess.output(envelope_of(SearchResult, "Search"))
@preprocess.doc(responses=[400, 404, 422, 503])
def search_preprocessing_logs(task_id: str, query_data: SearchQuery) -> Response:
    """Search a preprocessing task's log.

    Same as for a training's log, with the same limits.
    """
    return search_log(services().logs.find(task_id), query_data)


@preprocess.get("/<task_id>/logs/download")
@preprocess.input(DownloadQuery, location="query")
@preprocess.doc(responses=file_responses("The log.", "No such task.", "application/octet-stream", "text/plain"))
def download_preprocessing_logs(task_id: str, query_data: DownloadQuery) -> Response:
    """Download a preprocessing task's log.

    The complete log as one file, byte for byte. Streamed; `Range` selects a part.
    """
    return answer_file(request.environ, services().logs.open_download(task_id, query_data.inline))
