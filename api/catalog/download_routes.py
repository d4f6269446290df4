"""Routes of downloads."""

from apiflask import APIBlueprint
from flask import Response

from api.catalog.download_schemas import DownloadAnswer, DownloadListAnswer, StartDownload
from api.catalog.transfer_answers import answer_end, answer_queued
from api.domain.access import current_principal
from api.util.base_path import BASE_PATH
from api.web.idempotency_routes import TAKES_KEY, earlier_result, idempotency_scope, idempotent
from api.web.responses import answer, services
from api.web.schemas import PageQuery

downloads = APIBlueprint("downloads", __name__, url_prefix=f"{BASE_PATH}/models", tag="Models")


@downloads.post("/download")
@downloads.input(StartDownload)
@downloads.output(DownloadAnswer, status_code=202)
@downloads.doc(responses=[400, 404, 409, 415, 422, 503, 507], extensions=TAKES_KEY)
@idempotent
def start_download(json_data: StartDownload) -> Response:
    """Download a model.

    Name a model type and variant, of which only the files that the trainer opens are downloaded; or a repository and
    files; or a URL and SHA-256. Each file is verified before it appears under its name below MODELS_ROOT.
    """
    principal = current_principal.get()
    if before := earlier_result():
        made = services().downloads.get(before.about)
    else:
        made = services().downloads.start(json_data.order(), json_data.secret(), principal, idempotency_scope())
    return answer_queued(made)


@downloads.get("/downloads")
@downloads.input(PageQuery, location="query")
@downloads.output(DownloadListAnswer)
@downloads.doc(responses=[422])
def list_downloads(query_data: PageQuery) -> Response:
    """List downloads, newest first.

    The list holds the downloads that you may see.
    """
    page = services().downloads.get_page(query_data.page())
    return answer({"downloads": page.rows, "pagination": page.pagination})


@downloads.get("/download/<task_id>")
@downloads.output(DownloadAnswer)
@downloads.doc(responses=[404])
def get_download(task_id: str) -> Response:
    """Get a download.

    The answer has the progress of each file, the speed and the time left. For a failed download it has the cause and
    a remedy.
    """
    return answer(services().downloads.get(task_id))


@downloads.post("/download/<task_id>/pause")
@downloads.output(DownloadAnswer, status_code=202)
@downloads.doc(responses=[404, 409, 503])
def pause_download(task_id: str) -> Response:
    """Pause a download.

    Downloaded data stays and is not fetched again. The request has no body.
    """
    return answer_end(services().downloads.pause(task_id, current_principal.get().actor))


@downloads.post("/download/<task_id>/resume")
@downloads.output(DownloadAnswer, status_code=202)
@downloads.doc(responses=[404, 409, 503])
def resume_download(task_id: str) -> Response:
    """Resume a download.

    The download must be paused or failed. The request has no body.
    """
    return answer_queued(services().downloads.resume(task_id, current_principal.get().actor))


@downloads.post("/download/<task_id>/cancel")
@downloads.output(DownloadAnswer, status_code=202)
@downloads.doc(responses=[404, 409, 503])
def cancel_download(task_id: str) -> Response:
    """Cancel a download.

    A cancelled download cannot be resumed. A paused or failed download can be cancelled too. Complete files stay, and
    incomplete files are removed. The request has no body.
    """
    return answer_end(services().downloads.cancel(task_id, current_principal.get().actor))
