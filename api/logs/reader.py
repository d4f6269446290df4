"""Pages of a log's lines: the last ones, from an offset, or since a time. What they cost does not grow with the log."""

from collections.abc import Iterator
from contextlib import contextmanager

from api.domain.log import EVERYTHING, LineFilter, LogLine, LogPage
from api.executors.executor import Log
from api.logs.lines import LINE_BYTES, CreateClassifier, LineStream

#: The most bytes of the log that are read for one page, and lines on it.
MAX_PAGE_BYTES = 4 * 2**20
MAX_PAGE_LINES = 10_000

_BLOCK = 64 * 1024
_SMALL_BLOCK = 4 * 1024


class LogReader:
    """Reads one log. `is_finished`: nothing more will be written, so that its last line is whole as it is."""

    def __init__(self, log: Log, create_classifier: CreateClassifier, is_finished: bool) -> None:
        self._log = log
        self._create_classifier = create_classifier
        self._is_finished = is_finished

    def tail(
        self,
        count: int,
        limit_bytes: int = MAX_PAGE_BYTES,
        wanted: LineFilter = EVERYTHING,
        since: float | None = None,
    ) -> LogPage:
        """The last `count` of the wanted lines, of those within the last `limit_bytes`.

        `since`: only of those that came since this time (Unix seconds).
        """
        end = self._log.end()
        first = 0 if since is None else self.find_time(since)
        if wanted.selects_all:
            begin = max(first, self.find_tail(end, count, limit_bytes))
            lines, next_offset = self._read_lines(begin, MAX_PAGE_BYTES, MAX_PAGE_LINES, wanted)
            return self._page(lines[max(0, len(lines) - count) :], next_offset)
        limit, begin = min(limit_bytes, _BLOCK), end + 1
        while True:
            before, begin = begin, max(first, self.find_tail(end, MAX_PAGE_LINES, limit))
            lines, next_offset = self._read_lines(begin, MAX_PAGE_BYTES, MAX_PAGE_LINES, wanted)
            if len(lines) >= count or limit >= limit_bytes or begin == before:
                return self._page(lines[max(0, len(lines) - count) :], next_offset)
            limit = min(limit_bytes, 4 * limit)

    def read_from(
        self, offset: int, limit_bytes: int, wanted: LineFilter = EVERYTHING, max_lines: int = MAX_PAGE_LINES
    ) -> LogPage:
        """The wanted lines that begin in the next `limit_bytes` from an offset on, and one at least if there is any."""
        return self._page(*self._read_lines(offset, limit_bytes, max_lines, wanted))

    def since(self, at: float, limit_bytes: int, wanted: LineFilter = EVERYTHING) -> LogPage:
        """The lines that came since a time (Unix seconds), from the first of them on."""
        return self.read_from(self.find_time(at), limit_bytes, wanted)

    # -- places ----------------------------------------------------------------------------------------------------

    def find_tail(self, end: int, count: int, limit_bytes: int = MAX_PAGE_BYTES) -> int:
        """The offset at which the last `count` lines before `end` begin, `limit_bytes` before it at most."""
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
        # None are from now on, and so begin with the line that has not ended.
        place = len(content) - (content.endswith(b"\n") and count > 0)
        for _ in range(max(1, count)):
            place = content.rfind(b"\n", 0, place)
            if place < 0:
                return self.find_line(begin)
        return begin + place + 1

    def find_line(self, offset: int) -> int:
        """The offset of the first line that begins at or after this byte."""
        first = self._log.first()
        if offset <= first:
            return first
        began, content = self._log.read(offset - 1, LINE_BYTES + 1)
        newline = content.find(b"\n")
        if newline >= 0:
            return began + newline + 1
        # So long a line is cut at each full MiB.
        return -(-offset // LINE_BYTES) * LINE_BYTES if len(content) > LINE_BYTES else offset

    def find_time(self, at: float) -> int:
        """The offset of the first line that came at or after this time (Unix seconds)."""
        return self.find_line(self._log.offset_at(at))

    # -- lines -----------------------------------------------------------------------------------------------------

    @contextmanager
    def open_stream(self, offset: int) -> Iterator[LineStream]:
        """A stream of the lines from an offset on, closed at the end of the `with` block."""
        stream = LineStream(self._log, max(offset, self._log.first()), self._create_classifier)
        try:
            yield stream
        finally:
            stream.close()

    def _read_lines(
        self, offset: int, limit_bytes: int, max_lines: int, wanted: LineFilter
    ) -> tuple[list[LogLine], int]:
        """The wanted ones of those that begin within the limit, and where the next call goes on."""
        kept: list[LogLine] = []
        with self.open_stream(min(offset, self._log.end())) as stream:
            end = stream.offset + limit_bytes
            while stream.offset < end:
                before = stream.read_to
                lines, _ = stream.read(min(_BLOCK, max(_SMALL_BLOCK, end - before)))
                for line in lines:
                    if line.offset >= end or len(kept) == max_lines:
                        return kept, line.offset
                    if wanted.selects(line):
                        kept.append(line)
                if stream.read_to == before:
                    return [*kept, *self._last(stream, wanted)], stream.offset
            return kept, stream.offset

    def _last(self, stream: LineStream, wanted: LineFilter) -> list[LogLine]:
        """The line behind the last newline, if there is one."""
        line = stream.end()[0] if self._is_finished and stream.read_to > stream.offset else stream.partial()
        return [line] if line is not None and wanted.selects(line) else []

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
        """Whether a whole line, from this offset on, is there now."""
        if offset >= end:
            return False
        _, content = self._log.read(offset, min(end - offset, LINE_BYTES + 1))
        return self._is_finished or b"\n" in content or len(content) > LINE_BYTES
