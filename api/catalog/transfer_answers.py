"""The answer to a pause or cancellation of a download or push."""

from flask import Response

from api.catalog.download_models import DownloadStatus, DownloadView
from api.catalog.push_models import PushStatus, PushView
from api.util.responses import answer

#: Statuses in which the program still runs and will end soon.
_WORKING = (DownloadStatus.DOWNLOADING, DownloadStatus.VERIFYING, PushStatus.PUSHING)


def answer_end(shown: DownloadView | PushView) -> Response:
    """Return the answer, with the message "stopping" while the program still runs, else the new status."""
    return answer(shown, 202, "stopping" if shown.status in _WORKING else str(shown.status))
