"""Pushes by the seam of the trainers: what is executed, and what its output means. The rest is as of a download."""

from api.domain.reason import Reason
from api.jobs.downloads.reader import DownloadLines, DownloadReader
from api.jobs.downloads.trainer import Downloader
from api.jobs.pushes.words import COMPLETED, STOPPED

#: The name by which tasks know it.
PUSHES = "pushes"


class Pusher(Downloader):
    """Executes the program that pushes."""

    name = PUSHES
    completed_phrase = COMPLETED
    stopped_phrase = STOPPED
    program = "api.jobs.pushes.program"
    lacks = "what it shall push is not known any more"
    remedy = Reason.of(
        "Set right what is named here, then resume it: what the hub has is not sent again.", "push_refused_remedy"
    )

    def create_reader(self, plan: object) -> DownloadReader:
        """A reader of this task's output that has seen nothing yet."""
        return DownloadReader((COMPLETED, STOPPED))

    def create_classifier(self, steps_per_epoch: int | None) -> DownloadLines:
        """A reader that tells what lines mean, from anywhere in a log."""
        return DownloadLines((COMPLETED, STOPPED))
