"""A log in memory, for tests, that behaves like the files of a supervisor."""

import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path

from api.domain.log import LogPart, LogSpan, LogTime


class MemoryLog:
    """A log that grows by `add`, never loses its beginning, and writes nothing to disk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.content = b""
        self._times: list[LogTime] = []

    def add(self, content: bytes, at: float | None = None) -> None:
        """Append output that came now, or at the given time (Unix seconds)."""
        self._times.append(LogTime(self.end(), self.content.count(b"\n"), time.time() if at is None else at))
        self.content += content

    def first(self) -> int:
        return 0

    def end(self) -> int:
        return len(self.content)

    def span(self) -> LogSpan:
        return LogSpan(0, self.end(), 0, self.content.count(b"\n"))

    def read(self, offset: int, limit: int) -> tuple[int, bytes]:
        return offset, self.content[max(0, offset) : max(0, offset) + max(0, limit)]

    def follow(self, offset: int) -> "MemoryLogCursor":
        return MemoryLogCursor(self, offset)

    def open_parts(self) -> tuple[int, tuple[LogPart, ...]]:
        descriptor = os.memfd_create("log")
        os.write(descriptor, self.content)
        return 0, (LogPart(descriptor, self.end()),)

    def times_between(self, offset: int, end: int) -> Sequence[LogTime]:
        begin = max(0, bisect_right(self._times, offset, key=lambda time: time.offset) - 1)
        return self._times[begin : bisect_right(self._times, end, key=lambda time: time.offset)]

    def newlines_before(self, offset: int) -> int:
        return self.content.count(b"\n", 0, max(0, offset))

    def offset_at(self, at: float) -> int:
        place = bisect_left(self._times, at, key=lambda time: time.at)
        return self._times[place].offset if place < len(self._times) else self.end()


class MemoryLogCursor:
    """Reads on in a MemoryLog."""

    def __init__(self, log: MemoryLog, offset: int) -> None:
        self.offset = offset
        self._log = log

    def read(self, limit: int) -> tuple[int, bytes]:
        began, content = self._log.read(self.offset, limit)
        self.offset = began + len(content)
        return began, content

    def close(self) -> None:
        """Do nothing: no file is open."""
