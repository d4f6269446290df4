"""Turn the bytes of a log into lines: split, cleaned, numbered, timed and classified in bounded memory."""

import copy
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from api.domain.log import Classifier, Gap, LogLine, LogTime
from api.executors.executor import Log
from api.util.text.terminal_text import clean

#: A longer line is cut at each full MiB of the log. So every reader cuts it at the same offsets, and no reader holds
#: more than this of it.
LINE_BYTES = 2**20

#: Bytes before the first line from which its context is computed (a traceback, an evaluation, the epoch).
CONTEXT_BYTES = 64 * 1024

#: Bytes of an unfinished line that are shown.
PARTIAL_BYTES = 64 * 1024

CreateClassifier = Callable[[], Classifier]


class LineStream:
    """Reads lines from an offset on. It holds the unfinished rest after the last complete line: at most 1 MiB."""

    def __init__(self, log: Log, offset: int, create_classifier: CreateClassifier) -> None:
        self.offset = offset  #: where the next line starts
        self._log = log
        self._create_classifier = create_classifier
        self._cursor = log.follow(offset)
        self._seek(offset)

    def _seek(self, offset: int) -> None:
        """Determine the state at an offset: the line number, the context, and whether a line was cut there."""
        self.offset, self._rest = offset, b""
        self._newlines = self._log.newlines_before(offset)
        # Read after counting: bytes that exist now existed while they were counted.
        self._is_counted = offset == 0 or offset >= self._log.first()
        self._classifier = self._create_classifier()
        began, before = self._log.read(max(0, offset - CONTEXT_BYTES), min(offset, CONTEXT_BYTES))
        before = before[: max(0, offset - began)]
        self._is_part = bool(before) and not before.endswith(b"\n")
        complete = before if began == 0 else before[before.find(b"\n") + 1 :]
        for line in complete.split(b"\n")[:-1]:
            self._classifier.read(clean(line)[0])

    @property
    def read_to(self) -> int:
        """The offset after the last byte that was read."""
        return self.offset + len(self._rest)

    def read(self, limit: int) -> tuple[list[LogLine], Gap | None]:
        """Return the lines that end within the next `limit` bytes, and a deleted part before them. Raises OSError."""
        began, content = self._cursor.read(limit)
        if not content:
            return [], None
        gap = self._skip_to(began) if began != self.read_to else None
        if gap is not None and not self._is_counted:
            # The first bytes were deleted while they were counted, so these lines cannot be numbered.
            self._cursor.close()
            self._cursor = self._log.follow(began)
            return [], gap
        content = self._rest + content
        if len(content) <= LINE_BYTES and b"\n" not in content[len(self._rest) :]:
            # A long line that arrives in small parts is not searched from its start with each part.
            self._rest = content
            return [], gap
        return self._decode(content.split(b"\n")), gap

    def _skip_to(self, offset: int) -> Gap:
        """Continue after a deleted part, and drop the start of a line whose end was deleted."""
        start, newlines, is_counted = self.offset, self._newlines, self._is_counted
        self._seek(offset)
        return Gap(start, offset, self._newlines - newlines if is_counted and self._is_counted else None)

    def _decode(self, pieces: list[bytes]) -> list[LogLine]:
        """Return the lines of text that was split at its newlines. The last piece is unfinished."""
        *complete, rest = pieces
        lines: list[LogLine] = []
        if complete or len(rest) > LINE_BYTES:
            size = sum(map(len, pieces)) + len(complete)
            times = _LineTimes(self._log, self.offset, self.offset + size)
            for piece in complete:
                last = self._cut(piece, times, lines)
                lines.append(self._line(last, times))
                self.offset += len(last) + 1
                self._newlines += 1
                self._is_part = False
            rest = self._cut(rest, times, lines)
        self._rest = rest
        return lines

    def _cut(self, piece: bytes, times: "_LineTimes", lines: list[LogLine]) -> bytes:
        """Cut a line that is too long at each full MiB. Return the rest."""
        while len(piece) > LINE_BYTES:
            size = LINE_BYTES - self.offset % LINE_BYTES
            self._is_part = True
            lines.append(self._line(piece[:size], times))
            self.offset += size
            piece = piece[size:]
        return piece

    def end(self, is_part: bool = False) -> list[LogLine]:
        """Return the rest after the last newline, as a complete line or as a part of a line that is cut here."""
        if not self._rest:
            return []
        rest, self._rest = self._rest, b""
        self._is_part = self._is_part or is_part
        line = self._line(rest, _LineTimes(self._log, self.offset, self.offset + 1))
        self.offset += len(rest)
        return [line]

    def partial(self) -> LogLine | None:
        """Return the unfinished line; None if there is none."""
        if not self._rest:
            return None
        saved, self._classifier = self._classifier, copy.deepcopy(self._classifier)
        try:
            times = _LineTimes(self._log, self.offset, self.offset + 1)
            return self._line(self._rest[-PARTIAL_BYTES:], times, is_complete=False)
        finally:
            self._classifier = saved

    def _line(self, raw: bytes, times: "_LineTimes", is_complete: bool = True) -> LogLine:
        message, is_cut = clean(raw)
        meaning = self._classifier.read(message)
        return LogLine(
            self.offset,
            self._newlines + 1,
            times.show(self.offset),
            meaning.level,
            meaning.type,
            message if meaning.shown is None else meaning.shown,
            meaning.epoch,
            meaning.step,
            is_complete,
            is_cut or self._is_part,
        )

    def close(self) -> None:
        """Close the log."""
        self._cursor.close()


class _LineTimes:
    """The times of lines by ascending offset, formatted once for all lines that arrived together."""

    def __init__(self, log: Log, begin: int, end: int) -> None:
        self._records: Sequence[LogTime] = log.times_between(begin, end)
        self._next = 0
        self._shown: str | None = None

    def show(self, offset: int) -> str | None:
        """Return the time when the byte at this offset arrived; None if unknown."""
        index = self._next
        while index < len(self._records) and self._records[index].offset <= offset:
            index += 1
        if index != self._next:
            self._next = index
            self._shown = show_time(self._records[index - 1].at)
        return self._shown


def show_time(at: float) -> str | None:
    """Return Unix seconds in ISO 8601 with milliseconds; None if they are no valid time."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None
