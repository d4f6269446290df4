"""Search logs block by block with RE2 and without the interpreter's lock, bounded in bytes, time and results."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

import re2

from api.domain.log import EVERYTHING, LineFilter, LogLine, SearchHit, StopReason
from api.errors import InvalidPattern
from api.executors.executor import Log
from api.logs.lines import CONTEXT_BYTES, LINE_BYTES, LineStream
from api.logs.reader import LogSource
from api.util.clock import Clock
from api.util.text.terminal_text import clean

#: Memory of one compiled pattern in bytes. A larger pattern is rejected, or searched more slowly.
PATTERN_MEMORY = 16 * 2**20

# Many lines are searched at a time, so these anchors would match the start and end of a block.
_ABSOLUTE_ANCHOR = re.compile(r"(?<!\\)(?:\\\\)*\\[AzZ]")

#: Maximum numbers of bytes and seconds of one search. At the limit it stops and returns where it can continue.
MAX_BYTES = 4 * 2**30
MAX_SECONDS = 10.0

#: Maximum number of characters of messages in one response, including context.
MAX_SHOWN = 4 * 2**20

#: Bytes searched at a time: few enough to check the time often, enough to need the interpreter's lock rarely.
BLOCK = 256 * 1024
_WINDOW_READ = 16 * 1024


@dataclass(frozen=True, slots=True)
class Match:
    """The start and end of a match."""

    start: int
    end: int


class LogPattern:
    """A compiled pattern that matches within lines: never across a newline, and ^ and $ match the ends of a line."""

    def __init__(self, text: str, is_regex: bool, ignore_case: bool) -> None:
        """Compile the pattern. Raises InvalidPattern with RE2's reason."""
        self.text = text
        if is_regex and _ABSOLUTE_ANCHOR.search(text):
            raise InvalidPattern("\\A and \\z are not supported in logs. Use ^ and $ for the ends of a line.")
        options = re2.Options()
        options.literal = not is_regex
        options.case_sensitive = not ignore_case
        options.never_nl = True
        options.never_capture = True
        options.log_errors = False
        options.max_mem = PATTERN_MEMORY
        try:
            if is_regex:
                # Compiled without the prefix first, so that an error refers to the given text.
                re2.compile(text, options)
            self._compiled = re2.compile("(?m)" + text if is_regex else text, options)
        except re2.error as error:
            raise InvalidPattern(f"RE2 rejects the pattern: {_reason(error)}.") from None

    def find(self, block: bytes, begin: int, end: int) -> Match | None:
        """Return the first match in this part of some complete lines."""
        found = self._compiled.search(block, begin, end)
        return None if found is None else Match(*found.span())

    def find_in(self, message: str) -> Match | None:
        """Return the first match in a cleaned line, in characters."""
        found = self._compiled.search(message)
        return None if found is None else Match(*found.span())


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else "it is not a regular expression"
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A search. Times are Unix seconds."""

    pattern: LogPattern
    line_filter: LineFilter = EVERYTHING
    begin_at: float | None = None
    end_at: float | None = None
    limit: int = 100
    context: int = 0


@dataclass(slots=True)
class SearchRun:
    """One search in progress: its limits and its results."""

    query: LogQuery
    clock: Clock
    started_at: float
    searched_bytes: int = 0
    shown: int = 0
    hits: list[SearchHit] = field(default_factory=list)
    stopped: StopReason | None = None

    @classmethod
    def begin(cls, query: LogQuery, clock: Clock) -> "SearchRun":
        """Start a search."""
        return cls(query, clock, clock.monotonic())

    @property
    def elapsed_seconds(self) -> float:
        """The seconds since the search started."""
        return self.clock.monotonic() - self.started_at

    def is_late(self) -> bool:
        """Return whether the time is used up; if so, mark the search as stopped."""
        if self.stopped is None and self.elapsed_seconds > MAX_SECONDS:
            self.stopped = StopReason.TIME
        return self.stopped is not None

    def search(self, source: LogSource, offset: int) -> int | None:
        """Search one log from an offset on. Return the offset to continue at if the search had to stop, else None."""
        log, query = source.content, self.query
        end = log.end() if query.end_at is None else log.offset_at(query.end_at)
        begin = max(offset, log.first())
        if query.begin_at is not None:
            begin = max(begin, source.reader().find_time(query.begin_at))
        window = _Window(source)
        try:
            for start, block in _blocks(log, begin, end):
                stopped_at = self._search_block(window, source.task_id, start, block)
                if stopped_at is not None:
                    self.searched_bytes += stopped_at - start
                    return stopped_at
                if not self._spend(len(block)):
                    return start + len(block)
        finally:
            window.close()
        return None

    def _search_block(self, window: "_Window", task_id: str | None, start: int, block: bytes) -> int | None:
        """Search a block. Return the offset to continue at if the search had to stop in it, else None."""
        end, position = len(block) - block.endswith(b"\n"), 0
        while position <= end and (match := self.query.pattern.find(block, position, end)) is not None:
            first, last = _line_bounds(block, start, match)
            is_hit = self._add_hit(window, task_id, start + first, block[match.start : match.end])
            position = last + 1 if block[last : last + 1] == b"\n" else last
            if is_hit:
                self._count(self.hits[-1])
            if self.is_late():
                return start + position
            if last >= end:
                break
        return None

    def _add_hit(self, window: "_Window", task_id: str | None, offset: int, matched: bytes) -> bool:
        """Add the line at this offset to the results if it passes the filter. Return whether it did."""
        found = window.at(offset, self.query.context)
        if found is None or not self.query.line_filter.selects(found.line):
            return False
        line = found.line
        shown = self.query.pattern.find_in(line.message)
        text = clean(matched)[0] if shown is None else line.message[shown.start : shown.end]
        self.hits.append(
            SearchHit(
                line.line_number,
                line.offset,
                line.timestamp,
                line.level,
                line.type,
                line.message,
                text,
                None if shown is None else shown.start,
                None if shown is None else shown.end,
                found.before,
                found.after,
                task_id,
            )
        )
        return True

    def _count(self, hit: SearchHit) -> None:
        self.shown += sum(len(line.message) for line in (*hit.before, *hit.after))
        self.shown += len(hit.message) + len(hit.matched_text)
        if len(self.hits) >= self.query.limit:
            self.stopped = StopReason.LIMIT
        elif self.shown >= MAX_SHOWN:
            self.stopped = StopReason.BYTES

    def _spend(self, count: int) -> bool:
        """Count searched bytes. Return whether the search may continue."""
        self.searched_bytes += count
        if self.searched_bytes >= MAX_BYTES:
            self.stopped = StopReason.BYTES
        return not self.is_late()


def _blocks(log: Log, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield complete lines, as many as fit into a block, with the offset of the block.

    Lines that are too long are cut as everywhere.
    """
    cursor = log.follow(begin)
    start, rest = begin, b""
    try:
        while start + len(rest) < end:
            began, content = cursor.read(min(BLOCK, end - start - len(rest)))
            if not content:
                break
            if began != start + len(rest):
                start, rest = began, b""
            content = rest + content
            size_of_lines = content.rfind(b"\n") + 1
            while not size_of_lines and len(content) > LINE_BYTES:
                size = LINE_BYTES - start % LINE_BYTES
                yield start, content[:size]
                start, content = start + size, content[size:]
            if size_of_lines:
                yield start, content[:size_of_lines]
            start, rest = start + size_of_lines, content[size_of_lines:]
        if rest:
            yield start, rest
    finally:
        cursor.close()


def _line_bounds(block: bytes, start: int, match: Match) -> tuple[int, int]:
    """Return the start and end of a match's line within the block."""
    first = block.rfind(b"\n", 0, match.start) + 1
    last = block.find(b"\n", match.start)
    last = len(block) if last < 0 else last
    if last - first > LINE_BYTES:
        full = (start + match.start) // LINE_BYTES * LINE_BYTES - start
        return max(first, full), min(last, full + LINE_BYTES)
    return first, last


@dataclass(frozen=True, slots=True)
class _Found:
    before: tuple[LogLine, ...]
    line: LogLine
    after: tuple[LogLine, ...]


class _Window:
    """The lines around one offset after another. Nearby lines are read on instead of being read again."""

    def __init__(self, source: LogSource) -> None:
        self._source = source
        self._reader = source.reader()
        self._stream: LineStream | None = None
        self._lines: list[LogLine] = []
        self._is_at_end = False

    def at(self, offset: int, context: int) -> _Found | None:
        """Return the line at this offset with `context` lines on either side; None if it was deleted."""
        stream = self._stream
        if stream is None or not self._lines or not self._lines[0].offset <= offset <= stream.offset + CONTEXT_BYTES:
            stream = self._open(self._reader.find_tail(offset, context, CONTEXT_BYTES) if context else offset)
        while not self._is_at_end and (not self._lines or self._lines[-1].offset < offset):
            del self._lines[: max(0, len(self._lines) - context)]
            self._read(stream)
        index = bisect_left(self._lines, offset, key=lambda line: line.offset)
        while not self._is_at_end and index + context >= len(self._lines):
            self._read(stream)
        if index >= len(self._lines) or self._lines[index].offset != offset:
            return None
        before, after = self._lines[max(0, index - context) : index], self._lines[index + 1 : index + 1 + context]
        return _Found(tuple(before), self._lines[index], tuple(after))

    def _open(self, offset: int) -> LineStream:
        self.close()
        self._stream = LineStream(self._source.content, offset, self._source.create_classifier)
        self._lines, self._is_at_end = [], False
        return self._stream

    def _read(self, stream: LineStream) -> None:
        before = stream.read_to
        self._lines += stream.read(_WINDOW_READ)[0]
        if stream.read_to == before:
            self._is_at_end = True
            rest = stream.partial()
            if rest is not None:
                self._lines.append(rest)

    def close(self) -> None:
        """Close the log."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
