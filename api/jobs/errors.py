"""Why the program of a job ends early."""

from collections.abc import Callable

from api.domain.reason import Reason, text_of
from api.domain.tasks.cause import CauseCode


class JobFailed(Exception):
    """A failure that another try cannot repair. The message says what happened and what to do."""

    def __init__(self, message: Reason | str, cause: CauseCode) -> None:
        super().__init__(text_of(message))
        self.message = message
        self.cause = cause


class StopRequested(Exception):
    """The program was asked to stop. Partial results stay for the next run."""


def stop_if(is_stopping: Callable[[], bool]) -> None:
    """Raise StopRequested if the program was asked to stop."""
    if is_stopping():
        raise StopRequested


class LibraryFailed(Exception):
    """The library of a tracker sends nothing any more. A new process sends what the tracker lacks."""


class RunDeleted(LibraryFailed):
    """The run of a training was deleted in the tracker, which does not let it be created again."""
