"""Waits that end when the program is asked to stop, and how long a transfer goes on without any progress."""

from collections.abc import Callable
from dataclasses import dataclass

from api.jobs.downloads.refusal import StopAsked

#: Seconds between two tries: doubled each time, up to the bound.
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0

#: Seconds of waiting without any progress after which a transfer fails. A hub's short outage does not end one.
PATIENCE_SECONDS = 300.0


def wait(seconds: float, is_stopping: Callable[[], bool], sleep: Callable[[float], None]) -> None:
    """Waits, and looks meanwhile whether it shall stop. Raises StopAsked."""
    left = seconds
    while True:
        if is_stopping():
            raise StopAsked
        if left <= 0:
            return
        sleep(min(left, 0.5))
        left -= 0.5


@dataclass(slots=True)
class Patience:
    """The waits between the tries of one transfer. Its bound is time, not a number of tries, and progress resets it."""

    is_stopping: Callable[[], bool]
    sleep: Callable[[float], None]
    _waited: float = 0.0
    _next: float = FIRST_WAIT

    @property
    def is_exhausted(self) -> bool:
        """Whether it has waited long enough without any progress."""
        return self._waited >= PATIENCE_SECONDS

    def note_progress(self) -> None:
        """Begin again with short waits and the whole patience."""
        self._waited, self._next = 0.0, FIRST_WAIT

    def wait(self, asked: float | None = None) -> None:
        """Wait for the next try, at least as long as the server asked for. Raises StopAsked."""
        seconds = max(self._next, asked or 0.0)
        wait(seconds, self.is_stopping, self.sleep)
        self._waited += seconds
        self._next = min(self._next * 2, LONGEST_WAIT)
