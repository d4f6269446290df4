"""Follow the log of one task at the pace of one reader: the next piece is fetched after the last was sent."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import BeforeValidator

from api.domain.log import LineFilter, LogLevel, LogType
from api.logs.follower import Tail
from api.streaming.addresses import StreamRequest
from api.streaming.query_parameters import StreamQuery, one_of, read_query, up_to

#: Default and maximum number of earlier lines at the start of a stream.
DEFAULT_TAIL = 100
MAX_TAIL = 10_000

MAX_OFFSET = 2**62

_DIGITS = 18

Offset = Annotated[int | None, BeforeValidator(up_to(MAX_OFFSET))]
TailLines = Annotated[int | None, BeforeValidator(up_to(MAX_TAIL))]

#: Parameters for the start of a stream, of which only one may be set.
START_PARAMETERS = ("offset", "tail")


def _one_type(text: str) -> LogType | None:
    return None if text == "all" else one_of(LogType)(text)


class LogStreamQuery(StreamQuery):
    """The query parameters: the start, and the filter of lines."""

    alternatives = START_PARAMETERS

    offset: Offset = None
    tail: TailLines = None
    level: Annotated[LogLevel | None, BeforeValidator(one_of(LogLevel))] = None
    type: Annotated[LogType | None, BeforeValidator(_one_type)] = None


@dataclass(frozen=True, slots=True)
class FollowQuery:
    """The start of a stream, and its filter of lines."""

    start: int | Tail
    line_filter: LineFilter


def parse_follow_query(request: StreamRequest) -> FollowQuery:
    """Return the options of a request.

    Last-Event-ID takes precedence over `offset` and `tail`. Raises Invalid with every mistake.
    """
    query = read_query(LogStreamQuery, request.query)
    start = start_of(query.offset, query.tail)
    last = request.last_event_id or ""
    if last.isascii() and last.isdecimal() and len(last) <= _DIGITS:
        start = int(last)
    return FollowQuery(start, LineFilter(query.level, query.type))


def start_of(offset: int | None, tail: int | None) -> int | Tail:
    """Return the start for `offset` or `tail`."""
    return offset if offset is not None else Tail(DEFAULT_TAIL if tail is None else tail)


class LogPiece(Protocol):
    """A piece of a log. `kind` is `log`, `partial`, `dropped`, or `end` when the task has finished."""

    @property
    def kind(self) -> str: ...
    @property
    def json(self) -> bytes: ...  # the complete message
    @property
    def next_offset(self) -> int: ...


#: Follows a task's log, from an offset or some lines before its end, until the task has finished.
FollowLog = Callable[[str, int | Tail], AsyncGenerator[LogPiece, None]]


@dataclass(frozen=True, slots=True)
class FakePiece:
    """A piece of a log for tests."""

    kind: str
    json: bytes
    next_offset: int


class FakeTaskOutput:
    """A fake log for tests: yields the given pieces, and ends when `ended` is set."""

    def __init__(self, *pieces: FakePiece) -> None:
        self.pieces = list(pieces)
        self.starts: list[int | Tail] = []
        self.ended = asyncio.Event()

    async def follow(self, task_id: str, start: int | Tail) -> AsyncGenerator[LogPiece, None]:
        """Yield the pieces from `start` on, then wait for `ended`."""
        self.starts.append(start)
        last = 0
        for piece in self.pieces:
            last = piece.next_offset
            if isinstance(start, Tail) or last > start:
                yield piece
        await self.ended.wait()
        yield FakePiece("end", b"", last)


class FollowedLog:
    """Follows a log for one reader. `changed` is set when a piece or the end can be taken."""

    def __init__(self, task_id: str, start: int | Tail, follow: FollowLog, changed: asyncio.Event) -> None:
        self._task_id = task_id
        self._start = start
        self._follow = follow
        self._changed = changed
        self._piece: LogPiece | None = None
        self._taken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._saw_end = False
        #: The offset at which a reader of all pieces so far continues; None while unknown.
        self.next_offset = start if isinstance(start, int) else None

    def start(self) -> None:
        """Start to follow, or continue after an end."""
        self._saw_end = False
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self._changed.set())

    @property
    def has_ended(self) -> bool:
        """Whether everything was taken and nothing more follows."""
        return self._piece is None and self._task is not None and self._task.done()

    @property
    def was_cut_off(self) -> bool:
        """Whether following ended before the task did."""
        return self.has_ended and not self._saw_end

    def take(self) -> LogPiece | None:
        """Return the next piece; None if there is none yet. Raises any error of following."""
        piece, self._piece = self._piece, None
        if piece is not None:
            self.next_offset = piece.next_offset
            self._taken.set()
        elif self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()
        return piece

    async def _run(self) -> None:
        start = self._start if self.next_offset is None else self.next_offset
        async with aclosing(self._follow(self._task_id, start)) as pieces:
            async for piece in pieces:
                if piece.kind == "end":
                    self.next_offset, self._saw_end = piece.next_offset, True
                    return
                self._piece = piece
                self._taken.clear()
                self._changed.set()
                await self._taken.wait()

    async def aclose(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
