"""Follows the output of one task at the pace of one reader: the next piece is fetched when the last was sent."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from api.logs.follower import Tail


class LogPiece(Protocol):
    """Some output; `kind` is `log`, `partial`, `dropped`, or `end` when the task has finished."""

    @property
    def kind(self) -> str: ...
    @property
    def json(self) -> bytes: ...  # the whole message
    @property
    def next_offset(self) -> int: ...


#: A function that follows a task's output from an offset, or some lines before its end, until the task has finished.
FollowLog = Callable[[str, int | Tail], AsyncGenerator[LogPiece, None]]


@dataclass(frozen=True, slots=True)
class FakePiece:
    """A piece of output that a test makes up."""

    kind: str
    json: bytes
    next_offset: int


class FakeTaskOutput:
    """A fake of a log, for tests: gives the pieces that it was given, and ends when it is told to."""

    def __init__(self, *pieces: FakePiece) -> None:
        self.pieces = list(pieces)
        self.starts: list[int | Tail] = []
        self.ended = asyncio.Event()

    async def follow(self, task_id: str, start: int | Tail) -> AsyncGenerator[LogPiece, None]:
        """The pieces from `start` on, as they come."""
        self.starts.append(start)
        last = 0
        for piece in self.pieces:
            last = piece.next_offset
            if isinstance(start, Tail) or last > start:
                yield piece
        await self.ended.wait()
        yield FakePiece("end", b"", last)


class FollowingLog:
    """Follows a log for one reader. `news` is set when a piece, or the end, can be taken."""

    def __init__(self, task_id: str, start: int | Tail, follow: FollowLog, news: asyncio.Event) -> None:
        self._task_id = task_id
        self._start = start
        self._follow = follow
        self._news = news
        self._piece: LogPiece | None = None
        self._taken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._saw_end = False
        #: The offset at which a reader of all pieces up to now goes on; None while unknown.
        self.next_offset = start if isinstance(start, int) else None

    def start(self) -> None:
        """Begins to follow, or goes on after an end."""
        self._saw_end = False
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self._news.set())

    @property
    def has_ended(self) -> bool:
        """Whether everything was taken and no more comes."""
        return self._piece is None and self._task is not None and self._task.done()

    @property
    def was_cut_off(self) -> bool:
        """Whether following ended although the task has not."""
        return self.has_ended and not self._saw_end

    def take(self) -> LogPiece | None:
        """The next piece; None when there is none yet. Raises what went wrong with following."""
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
                self._news.set()
                await self._taken.wait()

    async def aclose(self) -> None:
        """Stops following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
