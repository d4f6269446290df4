"""Follows the output of one task at the pace of one reader: the next piece is fetched when the last was sent."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from api.models.live import MessageType


@dataclass(frozen=True, slots=True)
class LogStart:
    """Where to begin: at a byte, or with the last lines. One of them is None."""

    offset: int | None
    tail: int | None


class LogPiece(Protocol):
    """Some output: lines, an unfinished line, or what is gone from the disk."""

    @property
    def type(self) -> MessageType: ...
    @property
    def json(self) -> bytes: ...  # the whole message
    @property
    def next_offset(self) -> int: ...


@dataclass(frozen=True, slots=True)
class FakePiece:
    """A piece of a test's."""

    type: MessageType
    json: bytes
    next_offset: int


class FakeLog:
    """Gives the pieces that it was given, and ends when it is told to."""

    def __init__(self, *pieces: FakePiece, has_ended: bool = True) -> None:
        self.pieces = list(pieces)
        self.starts: list[LogStart] = []
        self.ended = asyncio.Event()
        if has_ended:
            self.ended.set()

    async def follow(self, task_id: str, start: LogStart) -> AsyncGenerator[LogPiece, None]:
        self.starts.append(start)
        for piece in self.pieces:
            if start.offset is None or piece.next_offset > start.offset:
                yield piece
        await self.ended.wait()


#: Follows the output of a task until the task has finished.
FollowLog = Callable[[str, LogStart], AsyncGenerator[LogPiece, None]]


class FollowingLog:
    """One reader. `news` is set when there is a piece, or the end."""

    def __init__(self, task_id: str, start: LogStart, follow: FollowLog, news: asyncio.Event) -> None:
        self._task_id = task_id
        self._start = start
        self._follow = follow
        self._news = news
        self._piece: LogPiece | None = None
        self._taken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.next_offset = start.offset  #: where a reader goes on that has all pieces up to now; None is unknown yet

    def start(self) -> None:
        """Begins to follow, or goes on after an end."""
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self._news.set())

    @property
    def has_ended(self) -> bool:
        """Whether everything was taken, and no more comes."""
        return self._piece is None and self._task is not None and self._task.done()

    def take(self) -> LogPiece | None:
        """The next piece, if there is one. Raises what went wrong with following."""
        piece, self._piece = self._piece, None
        if piece is not None:
            self.next_offset = piece.next_offset
            self._taken.set()
        elif self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()
        return piece

    async def _run(self) -> None:
        start = self._start if self.next_offset is None else LogStart(self.next_offset, None)
        async with aclosing(self._follow(self._task_id, start)) as pieces:
            async for piece in pieces:
                self._piece = piece
                self._taken.clear()
                self._news.set()
                await self._taken.wait()

    async def aclose(self) -> None:
        """Stops following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
