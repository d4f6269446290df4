"""A file that reports how much of it was read, and stops when the program should stop."""

import io
from collections.abc import Callable
from pathlib import Path

from api.jobs.errors import StopRequested


class WatchedFile(io.BufferedReader):
    """A file on disk. The first reading is for its hash; only later readings are reported."""

    def __init__(self, path: Path, report: Callable[[int], None], is_stopping: Callable[[], bool]) -> None:
        """`report` receives the position after each read."""
        super().__init__(io.FileIO(path, "rb"), 1024 * 1024)
        self._report = report
        self._is_stopping = is_stopping
        self.is_sent = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes. Raises StopRequested, OSError."""
        if self._is_stopping():
            raise StopRequested
        part = super().read(size)
        if self.is_sent:
            self._report(self.tell())
        return part
