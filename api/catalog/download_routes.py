"""Downloads of models."""

from apiflask import APIBlueprint
from flask import Response

from api.catalog.download_schemas import DownloadAnswer, DownloadListAnswer, StartDownload
from api.catalog.transfer_answers import answer_end
from api.domain.access import current_principal
from api.util.base_path import BASE_PATH
from api.util.responses import answer
from api.web.context import services
from api.web.idempotency_routes import TAKES_KEY, idempotency_scope, idempotent, made_before
from api.web.schemas import PageQuery

downloads = APIBlueprint("downloads", __name__, url_prefix=f"{BASE_PATH}/models", tag="Models")


@downloads.post("/download")
@downloads.input(StartDownload)
@downloads.output(DownloadAnswer, status_code=202)
@downloads.doc(responses=[400, 404, 409, 415, 422, 503, 507], extensions=TAKES_KEY)
@idempotent
def start_download(json_data: StartDownload) -> Response:
    """Download a model

    By model type and variant, of which only the files come that the trainer opens; by repository and files; or by
    address and SHA-256. Each file is checked, and only then under its name below MODELS_ROOT.
    """
    asks = current_principal.get()
    if before := made_before():
        made = services().downloads.get(before.about)
    else:
        made = services().downloads.start(json_data.order(), json_data.secret(), asks, idempotency_scope())
    return answer(made, 202, "queued", {"Location": f"{BASE_PATH}/models/download/{made.download_id}"})


@downloads.get("/downloads")
@downloads.input(PageQuery, location="query")
@downloads.output(DownloadListAnswer)
@downloads.doc(responses=[422])
def list_downloads(query_data: PageQuery) -> Response:
    """Downloads, newest first

    Those that one may see.
    """
    page = services().downloads.get_page(query_data.page())
    return answer({"downloads": page.rows, "pagination": page.pagination})


@downloads.get("/download/<task_id>")
@downloads.output(DownloadAnswer)
@downloads.doc(responses=[404])
def get_download(task_id: str) -> Response:
    """One download

    Its files with how much of each is there, the speed, and the time left; of one that failed why, and what to do.
    """
    return answer(services().downloads.get(task_id))


@downloads.post("/download/<task_id>/pause")
@downloads.output(DownloadAnswer, status_code=202)
@downloads.doc(responses=[404, 409, 503])
def pause_download(task_id: str) -> Response:
    """Pause a download

    What is there stays, and is not fetched again. It takes no body.
    """
    return answer_end(services().downloads.pause(task_id, current_principal.get().actor))


@downloads.post("/download/<task_id>/resume")
@downloads.output(DownloadAnswer, status_code=202)
@downloads.doc(responses=[404, 409, 503])
def resume_download(task_id: str) -> Response:
    """Let a download go on

    One that was paused, or that failed. It takes no body.
    """
    return answer(services().downloads.resume(task_id, current_principal.get().actor), 202, "queued")


@downloads.post("/download/<task_id>/cancel")
@downloads.output(DownloadAnswer, status_code=202)
@downloads.doc(responses=[404, 409, 503])
def cancel_download(task_id: str) -> Response:
    """Cancel a download

    For good, also one that was paused or failed: it cannot be resumed. Files that are whole stay, and what there is of
    others is removed. It takes no body.
    """
    return answer_end(services().downloads.cancel(task_id, current_principal.get().actor))
