"""The bytes of a log, in their order, as lines: cut, cleaned, numbered, timed and classified in bounded memory."""

import copy
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from api.domain.log import Classifier, Gap, LogLine, LogTime
from api.executors.executor import Log
from api.util.terminal_text import clean

#: A line that is longer is cut at each full MiB of the log: where it is cut is the same for every reader, wherever it
#: began, and nobody needs to hold more than this of it.
LINE_BYTES = 2**20

#: Bytes before the first line from which its context (a traceback, an evaluation, the epoch) is taken.
CONTEXT_BYTES = 64 * 1024

#: Bytes of an unfinished line that are looked at.
PARTIAL_BYTES = 64 * 1024

CreateClassifier = Callable[[], Classifier]


class LineStream:
    """Reads lines onward from an offset. What it holds is the rest behind the last whole line: 1 MiB at most."""

    def __init__(self, log: Log, offset: int, create_classifier: CreateClassifier) -> None:
        self.offset = offset  #: where the next line begins
        self._log = log
        self._create_classifier = create_classifier
        self._cursor = log.follow(offset)
        self._place(offset)

    def _place(self, offset: int) -> None:
        """Finds out what only the bytes before tell: the line's number, its context, whether it is cut there."""
        self.offset, self._rest = offset, b""
        self._newlines = self._log.newlines_before(offset)
        # Asked afterwards: what is still there now was there while it was counted.
        self._is_counted = offset == 0 or offset >= self._log.first()
        self._classifier = self._create_classifier()
        began, before = self._log.read(max(0, offset - CONTEXT_BYTES), min(offset, CONTEXT_BYTES))
        before = before[: max(0, offset - began)]
        self._is_part = bool(before) and not before.endswith(b"\n")
        whole = before if began == 0 else before[before.find(b"\n") + 1 :]
        for line in whole.split(b"\n")[:-1]:
            self._classifier.read(clean(line)[0])

    @property
    def read_to(self) -> int:
        """The offset behind the last byte that was read."""
        return self.offset + len(self._rest)

    def read(self, limit: int) -> tuple[list[LogLine], Gap | None]:
        """The lines that end within the next `limit` bytes, and what was gone before them. Raises OSError."""
        began, content = self._cursor.read(limit)
        if not content:
            return [], None
        gap = self._skip_to(began) if began != self.read_to else None
        if gap is not None and not self._is_counted:
            # Gone meanwhile, too: nobody could number these lines any more.
            self._cursor.close()
            self._cursor = self._log.follow(began)
            return [], gap
        content = self._rest + content
        if len(content) <= LINE_BYTES and b"\n" not in content[len(self._rest) :]:
            # A long line that comes in small parts is not searched from its beginning with each of them.
            self._rest = content
            return [], gap
        return self._decode(content.split(b"\n")), gap

    def _skip_to(self, offset: int) -> Gap:
        """Goes on after what is gone, and drops the beginning of a line whose end is gone."""
        start, newlines, is_counted = self.offset, self._newlines, self._is_counted
        self._place(offset)
        return Gap(start, offset, self._newlines - newlines if is_counted and self._is_counted else None)

    def _decode(self, pieces: list[bytes]) -> list[LogLine]:
        """Lines from what was split at its newlines; the last piece has not ended."""
        *whole, rest = pieces
        lines: list[LogLine] = []
        if whole or len(rest) > LINE_BYTES:
            size = sum(map(len, pieces)) + len(whole)
            times = _LineTimes(self._log, self.offset, self.offset + size)
            for piece in whole:
                last = self._cut(piece, times, lines)
                lines.append(self._line(last, times))
                self.offset += len(last) + 1
                self._newlines += 1
                self._is_part = False
            rest = self._cut(rest, times, lines)
        self._rest = rest
        return lines

    def _cut(self, piece: bytes, times: "_LineTimes", lines: list[LogLine]) -> bytes:
        """Cuts a line that is too long at each full MiB; returns the rest."""
        while len(piece) > LINE_BYTES:
            size = LINE_BYTES - self.offset % LINE_BYTES
            self._is_part = True
            lines.append(self._line(piece[:size], times))
            self.offset += size
            piece = piece[size:]
        return piece

    def end(self, is_part: bool = False) -> list[LogLine]:
        """The rest behind the last newline as a whole line, or as a part of one that is cut here."""
        if not self._rest:
            return []
        rest, self._rest = self._rest, b""
        self._is_part = self._is_part or is_part
        line = self._line(rest, _LineTimes(self._log, self.offset, self.offset + 1))
        self.offset += len(rest)
        return [line]

    def partial(self) -> LogLine | None:
        """The unfinished line as it looks now; None when there is none."""
        if not self._rest:
            return None
        kept, self._classifier = self._classifier, copy.deepcopy(self._classifier)
        try:
            times = _LineTimes(self._log, self.offset, self.offset + 1)
            return self._line(self._rest[-PARTIAL_BYTES:], times, is_complete=False)
        finally:
            self._classifier = kept

    def _line(self, raw: bytes, times: "_LineTimes", is_complete: bool = True) -> LogLine:
        message, is_cut = clean(raw)
        meaning = self._classifier.read(message)
        return LogLine(
            self.offset,
            self._newlines + 1,
            times.show(self.offset),
            meaning.level,
            meaning.type,
            message,
            meaning.epoch,
            meaning.step,
            is_complete,
            is_cut or self._is_part,
        )

    def close(self) -> None:
        """Closes the log."""
        self._cursor.close()


class _LineTimes:
    """The times of lines by ascending offset, written out once for all lines that came together."""

    def __init__(self, log: Log, begin: int, end: int) -> None:
        self._records: Sequence[LogTime] = log.times_between(begin, end)
        self._next = 0
        self._shown: str | None = None

    def show(self, offset: int) -> str | None:
        """When the byte at this offset came; None when that is not known."""
        place = self._next
        while place < len(self._records) and self._records[place].offset <= offset:
            place += 1
        if place != self._next:
            self._next = place
            self._shown = show_time(self._records[place - 1].at)
        return self._shown


def show_time(at: float) -> str | None:
    """Unix seconds in ISO 8601, to the millisecond; None for what is no time."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None
