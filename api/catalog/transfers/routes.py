"""Routes of downloads of models, and of pushes to a hub."""

from apiflask import APIBlueprint
from flask import Response

from api.catalog.transfers.download_schemas import DownloadList, StartDownload
from api.catalog.transfers.push_schemas import PushesQuery, PushList, StartPush
from api.catalog.transfers.views import DownloadStatus, DownloadView, PushStatus, PushView
from api.domain.access.principal import current_principal
from api.util.http.base_path import BASE_PATH
from api.web.idempotency_routes import TAKES_KEY, earlier_result, idempotency_scope, idempotent
from api.web.responses import answer, services
from api.web.schemas import PageQuery, envelope_of

downloads = APIBlueprint("downloads", __name__, url_prefix=f"{BASE_PATH}/models", tag="Models")
pushes = APIBlueprint("pushes", __name__, url_prefix=f"{BASE_PATH}/models", tag="Models")

#: Statuses in which the program still runs and will end soon.
_WORKING = (DownloadStatus.DOWNLOADING, DownloadStatus.VERIFYING, PushStatus.PUSHING)


def _answer_queued(shown: DownloadView | PushView) -> Response:
    """Return the answer to a start or a resumption."""
    return _answer(shown, "queued")


def _answer_end(shown: DownloadView | PushView) -> Response:
    """Return the answer, with the message "stopping" while the program still runs, else the new status."""
    return _answer(shown, "stopping" if shown.status in _WORKING else str(shown.status))


def _answer(shown: DownloadView | PushView, message: str) -> Response:
    noun, id_ = ("download", shown.download_id) if isinstance(shown, DownloadView) else ("push", shown.push_id)
    return answer(shown, 202, message, {"Location": f"{BASE_PATH}/models/{noun}/{id_}"})


@downloads.post("/download")
@downloads.input(StartDownload)
@downloads.output(envelope_of(DownloadView), status_code=202)
@downloads.doc(responses=[400, 404, 409, 415, 422, 503, 507], extensions=TAKES_KEY)
@idempotent
def start_download(json_data: StartDownload) -> Response:
    """Download a model.

    Name a model type and variant, of which only the files that the trainer opens are downloaded; or a repository and
    files; or a URL and SHA-256. Each file is verified before it appears under its name below MODELS_ROOT.
    """
    principal = current_principal.get()
    if before := earlier_result():
        made = services().catalog.downloads.get(before.about)
    else:
        made = services().catalog.downloads.start(json_data.order(), json_data.secret(), principal, idempotency_scope())
    return _answer_queued(made)


@downloads.get("/downloads")
@downloads.input(PageQuery, location="query")
@downloads.output(envelope_of(DownloadList))
@downloads.doc(responses=[422])
def list_downloads(query_data: PageQuery) -> Response:
    """List downloads, newest first.

    The list holds the downloads that you may see.
    """
    page = services().catalog.downloads.get_page(query_data.page())
    return answer({"downloads": page.rows, "pagination": page.pagination})


@downloads.get("/download/<task_id>")
@downloads.output(envelope_of(DownloadView))
@downloads.doc(responses=[404])
def get_download(task_id: str) -> Response:
    """Get a download.

    The answer has the progress of each file, the speed and the time left. For a failed download it has the cause and
    a remedy.
    """
    return answer(services().catalog.downloads.get(task_id))


@downloads.post("/download/<task_id>/pause")
@downloads.output(envelope_of(DownloadView), status_code=202)
@downloads.doc(responses=[404, 409, 503])
def pause_download(task_id: str) -> Response:
    """Pause a download.

    Downloaded data stays and is not fetched again. The request has no body.
    """
    return _answer_end(services().catalog.downloads.pause(task_id, current_principal.get().actor))


@downloads.post("/download/<task_id>/resume")
@downloads.output(envelope_of(DownloadView), status_code=202)
@downloads.doc(responses=[404, 409, 503])
def resume_download(task_id: str) -> Response:
    """Resume a download.

    The download must be paused or failed. The request has no body.
    """
    return _answer_queued(services().catalog.downloads.resume(task_id, current_principal.get().actor))


@downloads.post("/download/<task_id>/cancel")
@downloads.output(envelope_of(DownloadView), status_code=202)
@downloads.doc(responses=[404, 409, 503])
def cancel_download(task_id: str) -> Response:
    """Cancel a download.

    A cancelled download cannot be resumed. A paused or failed download can be cancelled too. Complete files stay, and
    incomplete files are removed. The request has no body.
    """
    return _answer_end(services().catalog.downloads.cancel(task_id, current_principal.get().actor))


@pushes.post("/registry/<name>/versions/<version>/push")
@pushes.input(StartPush)
@pushes.output(envelope_of(PushView), status_code=202)
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
        made = services().catalog.pushes.get(before.about)
    else:
        made = services().catalog.pushes.start(name, version, order, token, principal, idempotency_scope())
    return _answer_queued(made)


@pushes.get("/pushes")
@pushes.input(PushesQuery, location="query")
@pushes.output(envelope_of(PushList))
@pushes.doc(responses=[422])
def list_pushes(query_data: PushesQuery) -> Response:
    """List pushes, newest first.

    The list holds the pushes that you may see.
    """
    page = services().catalog.pushes.get_page(query_data.page(), query_data.model)
    return answer({"pushes": page.rows, "pagination": page.pagination})


@pushes.get("/push/<task_id>")
@pushes.output(envelope_of(PushView))
@pushes.doc(responses=[404])
def get_push(task_id: str) -> Response:
    """Get a push.

    The answer has the progress of each file and the commit once it exists. For a failed push it has the cause and a
    remedy.
    """
    return answer(services().catalog.pushes.get(task_id))


@pushes.post("/push/<task_id>/pause")
@pushes.output(envelope_of(PushView), status_code=202)
@pushes.doc(responses=[404, 409, 503])
def pause_push(task_id: str) -> Response:
    """Pause a push.

    Files that the hub has received completely are not sent again. The request has no body.
    """
    return _answer_end(services().catalog.pushes.pause(task_id, current_principal.get().actor))


@pushes.post("/push/<task_id>/resume")
@pushes.output(envelope_of(PushView), status_code=202)
@pushes.doc(responses=[404, 409, 503])
def resume_push(task_id: str) -> Response:
    """Resume a push.

    The push must be paused or failed. The request has no body.
    """
    return _answer_queued(services().catalog.pushes.resume(task_id, current_principal.get().actor))


@pushes.post("/push/<task_id>/cancel")
@pushes.output(envelope_of(PushView), status_code=202)
@pushes.doc(responses=[404, 409, 503])
def cancel_push(task_id: str) -> Response:
    """Cancel a push.

    A cancelled push cannot be resumed. A paused or failed push can be cancelled too. Committed files stay in the
    repository. The request has no body.
    """
    return _answer_end(services().catalog.pushes.cancel(task_id, current_principal.get().actor))
