"""A simulated database, log and subscriber of the stream of one task."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from api.domain.tasks.training import EventKind, TaskEvent, TaskStatus
from api.errors import TaskNotFound
from api.events.stream import create_task_stream
from api.logs.stream_output import FakePiece, FakeTaskOutput
from api.streaming.addresses import StreamRequest
from api.streaming.blocking_reads import BlockingReads
from api.streaming.broker import Broker
from api.streaming.delivery import Frames
from api.streaming.frames import Frame
from api.streaming.models import EventPosition, EventWithStatus, Message
from tests.unit.streaming.builders import end, progress, status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LINES = (FakePiece("log", b'{"type":"log","data":1}', 10), FakePiece("log", b'{"type":"log","data":2}', 20))


class Following:
    """The task `t` in the database."""

    def __init__(self, *events: tuple[int, TaskStatus | None], immediately: int = 500) -> None:
        self.events = list(events)
        self.immediately = immediately

    @property
    def status(self) -> TaskStatus:
        return [current for _, current in self.events if current is not None][-1]

    def position(self, task_id: str, after: int | None) -> EventPosition:
        if task_id != "t":
            raise TaskNotFound
        latest = self.events[-1][0]
        if after is None or after > latest:
            chosen = [each for each in self.events if each[1] is not None][-1:]
            return EventPosition(
                self.status, tuple(event_with_status(*each) for each in chosen), latest, has_more=False
            )
        later = [each for each in self.events if each[0] > after]
        chosen = later[: self.immediately]
        last = chosen[-1][0] if chosen else after
        return EventPosition(
            self.status, tuple(event_with_status(*each) for each in chosen), last, has_more=last < latest
        )

    def missed(self, position: EventPosition) -> list[Message]:
        return [status("t", each.event.id, each.status) for each in position.events]

    def progress(self, task_id: str) -> Message:
        return progress(task_id, self.status)

    def end(self, task_id: str, position: int) -> Message | None:
        return end(task_id, position) if self.status.is_finished else None


def event_with_status(id_: int, current: TaskStatus | None) -> EventWithStatus:
    kind = EventKind.CHANGE if current is None else EventKind.STATUS
    event = TaskEvent(id_, "t", None, NOW, kind, None, current, "api", "")
    return EventWithStatus(event, current or TaskStatus.RUNNING)


RUNNING, COMPLETED, QUEUED = TaskStatus.RUNNING, TaskStatus.COMPLETED, TaskStatus.QUEUED


class Stream:
    """The frames that a subscriber receives."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._waiting: asyncio.Future[Sequence[Frame]] | None = None
        self._some: list[Frame] = []

    async def frame(self) -> Frame:
        while not self._some:
            waiting, self._waiting = self._waiting or asyncio.ensure_future(anext(self._frames)), None
            self._some += await asyncio.wait_for(waiting, 5)
        return self._some.pop(0)

    async def next(self) -> tuple[str, str | None]:
        frame = await self.frame()
        return frame.type.value, frame.id

    async def some(self, count: int) -> list[tuple[str, str | None]]:
        return [await self.next() for _ in range(count)]

    async def rest(self) -> list[tuple[str, str | None]]:
        found = []
        with contextlib.suppress(StopAsyncIteration):
            while True:
                found.append(await self.next())
        return found

    async def is_silent(self) -> bool:
        assert not self._some
        self._waiting = asyncio.ensure_future(anext(self._frames))
        done, _ = await asyncio.wait({self._waiting}, timeout=0.05)
        return not done

    async def close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.gather(self._waiting, return_exceptions=True)
        await self._frames.aclose()


@asynccontextmanager
async def follow(
    broker: Broker,
    following: Following,
    query: str = "types=status,progress,metrics",
    last_id: str | None = None,
    log: FakeTaskOutput | None = None,
) -> AsyncIterator[Stream]:
    reads = BlockingReads()
    try:
        opener = create_task_stream(broker, following, reads, (log or FakeTaskOutput()).follow)  # type: ignore[arg-type]
        async with opener(StreamRequest({"task_id": "t"}, query, last_id)) as frames:
            stream = Stream(frames)
            yield stream
            await stream.close()
    finally:
        reads.stop()
