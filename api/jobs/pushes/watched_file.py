"""A file that tells how much of it was read, and stops being read when the program shall end."""

import io
from collections.abc import Callable
from pathlib import Path

from api.jobs.downloads.refusal import StopAsked


class WatchedFile(io.BufferedReader):
    """A file on disk. The first time that it is read, it is hashed; what is told comes from the times after that."""

    def __init__(self, path: Path, tell: Callable[[int], None], is_stopping: Callable[[], bool]) -> None:
        """`tell` gets the position after each part."""
        super().__init__(io.FileIO(path, "rb"), 1024 * 1024)
        self._tell = tell
        self._is_stopping = is_stopping
        self.is_sent = False

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes. Raises StopAsked, OSError."""
        if self._is_stopping():
            raise StopAsked
        part = super().read(size)
        if self.is_sent:
            self._tell(self.tell())
        return part
