"""Messages with the lines of a log. Each is encoded once for all its followers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from api.domain.log import Gap, LineFilter, LogEnd, LogLine
from api.util.http.envelope import encode_json

#: Maximum numbers of lines and bytes in one message.
BATCH_LINES = 200
BATCH_BYTES = 64 * 1024

# Approximate size of a line's JSON without its message.
_LINE_BYTES = 220

Kind = Literal["log", "partial", "dropped", "end"]


@dataclass(frozen=True, slots=True)
class LogBatch:
    """One message to a follower: its JSON, and the part of the log that it covers.

    `log`: lines. `partial`: the unfinished last line; it covers nothing. `dropped`: a part that was deleted before it
    was read. `end`: the task has finished and everything was delivered.
    """

    kind: Kind
    start: int
    next_offset: int  #: where a follower continues after it
    json: bytes
    lines: tuple[LogLine, ...] = ()

    def select(self, task_id: str | None, line_filter: LineFilter) -> "LogBatch | None":
        """Return a batch with the matching lines only; None if no line matches."""
        if not self.lines or line_filter.selects_all:
            return self
        lines = [line for line in self.lines if line_filter.selects(line)]
        if len(lines) == len(self.lines):
            return self
        if not lines:
            return None
        return _batch_of(task_id, lines, self.start, self.next_offset)


def batches_of(task_id: str | None, lines: Sequence[LogLine], end: int) -> Iterator[LogBatch]:
    """Yield messages of bounded size with these lines. The last line ends at the offset `end`."""
    batch: list[LogLine] = []
    size = 0
    for line in lines:
        length = _LINE_BYTES + len(line.message)
        if batch and (len(batch) == BATCH_LINES or size + length > BATCH_BYTES):
            yield _batch_of(task_id, batch, batch[0].offset, line.offset)
            batch, size = [], 0
        batch.append(line)
        size += length
    if batch:
        yield _batch_of(task_id, batch, batch[0].offset, end)


def _batch_of(task_id: str | None, lines: Sequence[LogLine], start: int, end: int) -> LogBatch:
    return LogBatch("log", start, end, _encode("log", task_id, {"logs": lines, "next_offset": end}), tuple(lines))


def partial_of(task_id: str | None, line: LogLine) -> LogBatch:
    """Return the message about the unfinished last line."""
    return LogBatch("partial", line.offset, line.offset, _encode("partial", task_id, {"line": line}), (line,))


def dropped_of(task_id: str | None, gap: Gap) -> LogBatch:
    """Return the message about a part that was deleted before it was read."""
    content = {"from": gap.start, "to": gap.end, "bytes": gap.end - gap.start, "lines": gap.lines}
    return LogBatch("dropped", gap.start, gap.end, _encode("dropped", task_id, content))


def end_of(task_id: str | None, end: LogEnd, offset: int) -> LogBatch:
    """Return the message about how the task ended."""
    content = {"status": end.status, "failure": end.failure, "exit_code": end.exit_code, "next_offset": offset}
    return LogBatch("end", offset, offset, _encode("end", task_id, content))


def _encode(kind: Kind, task_id: str | None, content: Mapping[str, Any]) -> bytes:
    data = content if task_id is None else {"task_id": task_id, **content}
    return encode_json({"type": kind, "timestamp": datetime.now(UTC), "data": data})
