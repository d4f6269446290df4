"""A task's log as its readers see it: bytes by offset, and the times at which they came."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from api.executors.attempt.segments import TIME_RECORD, read_log, segment_starts

_ATTEMPTS = 3  # to read while the oldest segments are being removed


@dataclass(frozen=True, slots=True)
class LogTime:
    """At `at` (Unix seconds) the byte at `offset` came, with `newlines` newlines before it since the log began."""

    offset: int
    newlines: int
    at: float


class LogFiles:
    """The log of a task, which may grow and lose its oldest segments meanwhile; one that is not there is empty."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def starts(self) -> Sequence[int]:
        """The offsets at which its segments begin, ascending."""
        try:
            return segment_starts(str(self._directory))
        except FileNotFoundError:
            return ()

    def end(self) -> int:
        """The offset behind the last byte."""
        starts = self.starts()
        return starts[-1] + os.stat(self._path(starts[-1], ".log")).st_size if starts else 0

    def read(self, offset: int, limit: int) -> tuple[int, bytes]:
        """Up to `limit` bytes from `offset`, and where they begin: later when older ones are gone. Raises OSError."""
        for _ in range(_ATTEMPTS):
            try:
                return read_log(str(self._directory), max(0, offset), max(0, limit))
            except FileNotFoundError:
                continue
        return offset, b""

    def times(self, start: int) -> Sequence[LogTime]:
        """The times in the segment that begins at `start`, by ascending offset; none when it is gone.

        Of two with the same offset the later one counts: nothing came between them.
        """
        try:
            content = self._path(start, ".times").read_bytes()
        except FileNotFoundError:
            return ()
        whole = len(content) // TIME_RECORD.size * TIME_RECORD.size
        return [LogTime(*fields) for fields in TIME_RECORD.iter_unpack(content[:whole])]

    def _path(self, start: int, suffix: str) -> Path:
        return self._directory / f"{start:020d}{suffix}"
