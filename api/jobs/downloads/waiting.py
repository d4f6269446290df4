"""Wait between retries, which a stop request ends, and the limit of retries without progress."""

from collections.abc import Callable
from dataclasses import dataclass

from api.jobs.errors import StopRequested

#: The first and the longest wait between two tries, in seconds. It doubles each time.
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0

#: Seconds of waiting without progress after which a transfer fails. Short outages of a hub should not end one.
PATIENCE_SECONDS = 300.0


def wait(seconds: float, is_stopping: Callable[[], bool], sleep: Callable[[float], None]) -> None:
    """Wait, and check in between whether to stop. Raises StopRequested."""
    left = seconds
    while True:
        if is_stopping():
            raise StopRequested
        if left <= 0:
            return
        sleep(min(left, 0.5))
        left -= 0.5


@dataclass(slots=True)
class Patience:
    """The waits between the tries of one transfer, limited by their total time. Progress resets it."""

    is_stopping: Callable[[], bool]
    sleep: Callable[[float], None]
    _waited: float = 0.0
    _next: float = FIRST_WAIT

    @property
    def is_exhausted(self) -> bool:
        """Whether the waits without progress have reached the limit."""
        return self._waited >= PATIENCE_SECONDS

    def note_progress(self) -> None:
        """Reset the waits."""
        self._waited, self._next = 0.0, FIRST_WAIT

    def wait(self, requested: float | None = None) -> None:
        """Wait for the next try, at least as long as the server requested. Raises StopRequested."""
        seconds = max(self._next, requested or 0.0)
        wait(seconds, self.is_stopping, self.sleep)
        self._waited += seconds
        self._next = min(self._next * 2, LONGEST_WAIT)
