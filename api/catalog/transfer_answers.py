"""What downloads and pushes answer alike when they are asked to end."""

from flask import Response

from api.catalog.download_models import DownloadStatus, DownloadView
from api.catalog.push_models import PushStatus, PushView
from api.util.responses import answer

#: Their programs are still at work, and end soon.
_WORKING = (DownloadStatus.DOWNLOADING, DownloadStatus.VERIFYING, PushStatus.PUSHING)


def answer_end(shown: DownloadView | PushView) -> Response:
    """The answer to a pause or a cancellation: it is under way, or what came of it where nothing ran."""
    return answer(shown, 202, "stopping" if shown.status in _WORKING else str(shown.status))
