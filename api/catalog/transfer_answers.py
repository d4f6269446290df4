"""The answer to the start, pause, resumption or cancellation of a download or push."""

from flask import Response

from api.catalog.transfer_models import DownloadStatus, DownloadView, PushStatus, PushView
from api.util.base_path import BASE_PATH
from api.web.responses import answer

#: Statuses in which the program still runs and will end soon.
_WORKING = (DownloadStatus.DOWNLOADING, DownloadStatus.VERIFYING, PushStatus.PUSHING)


def answer_queued(shown: DownloadView | PushView) -> Response:
    """Return the answer to a start or a resumption."""
    return _answer(shown, "queued")


def answer_end(shown: DownloadView | PushView) -> Response:
    """Return the answer, with the message "stopping" while the program still runs, else the new status."""
    return _answer(shown, "stopping" if shown.status in _WORKING else str(shown.status))


def _answer(shown: DownloadView | PushView, message: str) -> Response:
    noun, id_ = ("download", shown.download_id) if isinstance(shown, DownloadView) else ("push", shown.push_id)
    return answer(shown, 202, message, {"Location": f"{BASE_PATH}/models/{noun}/{id_}"})
