"""Logs that can be read (of a task or of the server), and the reader of their pages.

Their cost does not depend on the size of the log.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from api.domain.log import EVERYTHING, LineFilter, LogEnd, LogLine, LogPage
from api.executors.executor import Log
from api.logs.lines import LINE_BYTES, CreateClassifier, LineStream

#: Maximum numbers of bytes that are read for one page, and of lines on it.
MAX_PAGE_BYTES = 4 * 2**20
MAX_PAGE_LINES = 10_000

_BLOCK = 64 * 1024
_SMALL_BLOCK = 4 * 1024


class LogReader:
    """Reads one log. If `is_finished`, nothing more is written, so that its last line is complete."""

    def __init__(self, log: Log, create_classifier: CreateClassifier, is_finished: bool) -> None:
        self._log = log
        self._create_classifier = create_classifier
        self._is_finished = is_finished

    def tail(
        self,
        count: int,
        limit_bytes: int = MAX_PAGE_BYTES,
        line_filter: LineFilter = EVERYTHING,
        since: float | None = None,
    ) -> LogPage:
        """Return the last `count` matching lines within the last `limit_bytes`.

        With `since`, only lines that arrived since this time (Unix seconds).
        """
        end = self._log.end()
        first = 0 if since is None else self.find_time(since)
        if line_filter.selects_all:
            begin = max(first, self.find_tail(end, count, limit_bytes))
            lines, next_offset = self._read_lines(begin, MAX_PAGE_BYTES, MAX_PAGE_LINES, line_filter)
            return self._page(lines[max(0, len(lines) - count) :], next_offset)
        limit, begin = min(limit_bytes, _BLOCK), end + 1
        while True:
            before, begin = begin, max(first, self.find_tail(end, MAX_PAGE_LINES, limit))
            lines, next_offset = self._read_lines(begin, MAX_PAGE_BYTES, MAX_PAGE_LINES, line_filter)
            if len(lines) >= count or limit >= limit_bytes or begin == before:
                return self._page(lines[max(0, len(lines) - count) :], next_offset)
            limit = min(limit_bytes, 4 * limit)

    def read_from(
        self, offset: int, limit_bytes: int, line_filter: LineFilter = EVERYTHING, max_lines: int = MAX_PAGE_LINES
    ) -> LogPage:
        """Return the matching lines that start in the next `limit_bytes` from an offset on.

        At least one line is read if there is any.
        """
        return self._page(*self._read_lines(offset, limit_bytes, max_lines, line_filter))

    def since(self, at: float, limit_bytes: int, line_filter: LineFilter = EVERYTHING) -> LogPage:
        """Return the lines that arrived since a time (Unix seconds), starting with the first of them."""
        return self.read_from(self.find_time(at), limit_bytes, line_filter)

    # -- offsets ---------------------------------------------------------------------------------------------------

    def find_tail(self, end: int, count: int, limit_bytes: int = MAX_PAGE_BYTES) -> int:
        """Return the offset at which the last `count` lines before `end` start, at most `limit_bytes` before it."""
        blocks: list[bytes] = []
        begin, newlines, first = end, 0, max(self._log.first(), end - limit_bytes)
        while begin > first and newlines <= count:
            start = max(first, begin - _BLOCK)
            began, block = self._log.read(start, begin - start)
            if began != start or not block:
                break
            blocks.append(block)
            newlines += block.count(b"\n")
            begin = start
        content = b"".join(reversed(blocks))
        # With a count of 0, reading starts with the unfinished line.
        index = len(content) - (content.endswith(b"\n") and count > 0)
        for _ in range(max(1, count)):
            index = content.rfind(b"\n", 0, index)
            if index < 0:
                return self.find_line(begin)
        return begin + index + 1

    def find_line(self, offset: int) -> int:
        """Return the offset of the first line that starts at or after this byte."""
        first = self._log.first()
        if offset <= first:
            return first
        began, content = self._log.read(offset - 1, LINE_BYTES + 1)
        newline = content.find(b"\n")
        if newline >= 0:
            return began + newline + 1
        # A line this long is cut at each full MiB.
        return -(-offset // LINE_BYTES) * LINE_BYTES if len(content) > LINE_BYTES else offset

    def find_time(self, at: float) -> int:
        """Return the offset of the first line that arrived at or after this time (Unix seconds)."""
        return self.find_line(self._log.offset_at(at))

    # -- lines -----------------------------------------------------------------------------------------------------

    @contextmanager
    def open_stream(self, offset: int) -> Iterator[LineStream]:
        """Yield a stream of the lines from an offset on."""
        stream = LineStream(self._log, max(offset, self._log.first()), self._create_classifier)
        try:
            yield stream
        finally:
            stream.close()

    def _read_lines(
        self, offset: int, limit_bytes: int, max_lines: int, line_filter: LineFilter
    ) -> tuple[list[LogLine], int]:
        """Return the matching lines that start within the limit, and the offset where the next call continues."""
        found: list[LogLine] = []
        with self.open_stream(min(offset, self._log.end())) as stream:
            end = stream.offset + limit_bytes
            while stream.offset < end:
                before = stream.read_to
                lines, _ = stream.read(min(_BLOCK, max(_SMALL_BLOCK, end - before)))
                for line in lines:
                    if line.offset >= end or len(found) == max_lines:
                        return found, line.offset
                    if line_filter.selects(line):
                        found.append(line)
                if stream.read_to == before:
                    return [*found, *self._last(stream, line_filter)], stream.offset
            return found, stream.offset

    def _last(self, stream: LineStream, line_filter: LineFilter) -> list[LogLine]:
        """Return the line after the last newline, if there is one."""
        line = stream.end()[0] if self._is_finished and stream.read_to > stream.offset else stream.partial()
        return [line] if line is not None and line_filter.selects(line) else []

    def _page(self, lines: list[LogLine], next_offset: int) -> LogPage:
        span = self._log.span()
        has_rest = span.end > span.first and self._log.read(span.end - 1, 1)[1] != b"\n"
        return LogPage(
            logs=tuple(lines),
            total_lines=span.newlines + has_rest,
            first_offset=span.first,
            next_offset=next_offset,
            end_offset=span.end,
            has_more=self._has_line(next_offset, span.end),
            dropped_bytes=span.first,
            dropped_lines=span.lines_before,
        )

    def _has_line(self, offset: int, end: int) -> bool:
        """Return whether a complete line exists from this offset on."""
        if offset >= end:
            return False
        _, content = self._log.read(offset, min(end - offset, LINE_BYTES + 1))
        return self._is_finished or b"\n" in content or len(content) > LINE_BYTES


@dataclass(frozen=True, slots=True)
class LogSource:
    """A log, and the functions to read it."""

    key: str  #: unique name of the log
    task_id: str | None  #: None for the server's own log
    content: Log  #: the bytes of the log
    create_classifier: CreateClassifier
    look_up_end: Callable[[], LogEnd | None]  #: returns how its task has ended; None if it has not
    is_finished: bool = False  #: whether the task had finished when this object was created

    def reader(self) -> LogReader:
        """Return a reader of its lines."""
        return LogReader(self.content, self.create_classifier, self.is_finished)
