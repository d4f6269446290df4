"""The stream of one task, with a log and a database that a test plays."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from api.errors import Invalid, TaskNotFound
from api.live.addresses import Asked
from api.live.blocking_reads import BlockingReads
from api.live.broker import Broker
from api.live.delivery import Frames
from api.live.frames import Frame
from api.live.streams.task import create_task_stream, read_wanted
from api.live.streams.task_output import FakePiece, FakeTaskOutput
from api.live.subscription import TooSlow
from api.models.live import EventPosition, Message, MessageType, ToldEvent
from api.models.training import EventKind, TaskEvent, TaskStatus
from api.services.logs.follower import Tail
from tests.unit.live.builders import end, metrics, play, progress, settle, status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LINES = (FakePiece("log", b'{"type":"log","data":1}', 10), FakePiece("log", b'{"type":"log","data":2}', 20))


class Following:
    """What the database knows of the task `t`."""

    def __init__(self, *events: tuple[int, TaskStatus | None], at_once: int = 500) -> None:
        self.events = list(events)
        self.at_once = at_once

    @property
    def status(self) -> TaskStatus:
        return [current for _, current in self.events if current is not None][-1]

    def position(self, task_id: str, after: int | None) -> EventPosition:
        if task_id != "t":
            raise TaskNotFound
        latest = self.events[-1][0]
        if after is None or after > latest:
            chosen = [each for each in self.events if each[1] is not None][-1:]
            return EventPosition(self.status, tuple(told(*each) for each in chosen), latest, has_more=False)
        later = [each for each in self.events if each[0] > after]
        chosen = later[: self.at_once]
        last = chosen[-1][0] if chosen else after
        return EventPosition(self.status, tuple(told(*each) for each in chosen), last, has_more=last < latest)

    def missed(self, position: EventPosition) -> list[Message]:
        return [status("t", each.event.id, each.status) for each in position.events]

    def progress(self, task_id: str) -> Message:
        return progress(task_id, self.status)

    def end(self, task_id: str, position: int) -> Message | None:
        return end(task_id, position) if self.status.is_finished else None


def told(id_: int, current: TaskStatus | None) -> ToldEvent:
    kind = EventKind.CHANGE if current is None else EventKind.STATUS
    event = TaskEvent(id_, "t", None, NOW, kind, None, current, "api", "")
    return ToldEvent(event, current or TaskStatus.RUNNING)


RUNNING, COMPLETED, QUEUED = TaskStatus.RUNNING, TaskStatus.COMPLETED, TaskStatus.QUEUED


class Stream:
    """What a subscriber gets."""

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
        async with opener(Asked({"task_id": "t"}, query, last_id)) as frames:
            stream = Stream(frames)
            yield stream
            await stream.close()
    finally:
        reads.stop()


def test_it_begins_with_the_present_status_and_progress():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, QUEUED), (2, RUNNING), (3, None))) as stream:
            assert await stream.some(2) == [("status", "2:"), ("progress", "3:")]

    play(scene)


def test_what_happens_comes_in_order():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING))) as stream:
            await stream.some(2)
            for message in (status(position=2), metrics(), progress(), status(position=3, current=None)):
                broker.publish(message)
            assert await stream.some(4) == [("status", "2:"), ("metrics", "2:"), ("progress", "2:"), ("status", "3:")]

    play(scene)


def test_only_what_was_asked_for_comes():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING)), "types=metrics") as stream:
            for message in (status(position=2), progress(), metrics()):
                broker.publish(message)
            assert await stream.next() == ("metrics", "2:")

    play(scene)


def test_messages_that_are_not_wanted_keep_nothing_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.live.subscription.TOGETHER_BYTES", 1)

    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING)), "types=metrics") as stream:
            for message in (progress(), progress(), metrics()):
                broker.publish(message)
            assert await stream.next() == ("metrics", "1:")

    play(scene)


def test_who_comes_back_gets_every_event_that_it_missed():
    async def scene(broker: Broker) -> None:
        events = [(number, RUNNING) for number in range(1, 8)]
        async with follow(broker, Following(*events, at_once=2), "types=status", last_id="2:") as stream:
            assert await stream.some(5) == [("status", f"{number}:") for number in range(3, 8)]

    play(scene)


def test_event_that_the_database_has_told_already_does_not_come_again():
    async def scene(broker: Broker) -> None:
        following = Following((1, RUNNING), (2, RUNNING))
        async with follow(broker, following, "types=status", last_id="1:") as stream:
            for position in (1, 2, 3):
                broker.publish(status(position=position))
            assert await stream.some(2) == [("status", "2:"), ("status", "3:")]
            assert await stream.is_silent()

    play(scene)


@pytest.mark.parametrize("last_id", ["garbage", "1-2", ":", "1", "99999999999999999999:0", "-1:0", "9:", "٣:1"])
def test_id_that_is_none_of_ours_gets_a_reset_and_the_present_state(last_id: str):
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING)), "types=status", last_id=last_id) as stream:
            assert await stream.some(2) == [("reset", None), ("status", "1:")]

    play(scene)


def test_task_that_nobody_knows_is_not_found_before_anything_is_sent():
    async def scene(broker: Broker) -> None:
        reads = BlockingReads()
        opener = create_task_stream(broker, Following((1, RUNNING)), reads, FakeTaskOutput().follow)  # type: ignore[arg-type]
        with pytest.raises(TaskNotFound):
            async with opener(Asked({"task_id": "other"}, "", None)):
                pass
        assert broker.subscribers == 0
        reads.stop()

    play(scene)


def test_it_ends_when_the_task_has_finished():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING))) as stream:
            await stream.some(2)
            for message in (
                metrics(),
                progress(status=COMPLETED),
                status(position=2, current=COMPLETED),
                end(position=2),
            ):
                broker.publish(message)
            assert [type_ for type_, _ in await stream.rest()] == ["metrics", "progress", "status", "end"]

    play(scene)


def test_follower_of_a_task_that_has_finished_gets_its_end_at_once():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING), (2, COMPLETED))) as stream:
            assert await stream.rest() == [("status", "2:"), ("progress", "2:"), ("end", "2:")]

    play(scene)


def test_who_comes_back_after_the_end_gets_the_end_again():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING), (2, COMPLETED)), "types=status", "2:") as stream:
            assert await stream.rest() == [("end", "2:")]

    play(scene)


def test_task_that_was_resumed_while_its_end_was_told_goes_on():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING), (2, COMPLETED)), "types=status", "1:") as stream:
            assert await stream.next() == ("status", "2:")
            for message in (status(position=3, current=QUEUED), status(position=4, current=RUNNING)):
                broker.publish(message)
            assert await stream.some(2) == [("status", "3:"), ("status", "4:")]
            assert await stream.is_silent()

    play(scene)


def test_end_of_an_earlier_run_is_not_the_end_of_a_task_that_was_resumed():
    async def scene(broker: Broker) -> None:
        following = Following((1, RUNNING), (2, COMPLETED), (3, QUEUED))
        async with follow(broker, following, "types=status") as stream:
            for message in (status(position=2, current=COMPLETED), end(position=2), status(position=3, current=QUEUED)):
                broker.publish(message)
            assert await stream.next() == ("status", "3:")
            assert await stream.is_silent()

    play(scene)


def test_change_of_a_finished_task_does_not_keep_it_from_ending():
    async def scene(broker: Broker) -> None:
        log = FakeTaskOutput()
        following = Following((1, RUNNING), (2, COMPLETED))
        async with follow(broker, following, "types=status,log", "1:0", log) as stream:
            assert await stream.next() == ("status", "2:0")
            broker.publish(status(position=3, current=None))
            assert await stream.next() == ("status", "3:0")
            log.ended.set()
            assert await stream.rest() == [("end", "3:0")]

    play(scene)


# -- the log ---------------------------------------------------------------------------------------------------------


def test_the_id_says_where_events_and_log_go_on():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING)), "types=log,status", log=FakeTaskOutput(*LINES)) as stream:
            assert await stream.some(3) == [("status", "1:"), ("log", "1:10"), ("log", "1:20")]
            broker.publish(status(position=2))
            assert await stream.next() == ("status", "2:20")

    play(scene)


def test_log_goes_on_from_the_id():
    async def scene(broker: Broker) -> None:
        log = FakeTaskOutput(*LINES)
        async with follow(broker, Following((1, RUNNING)), "types=log&tail=5", "1:10", log) as stream:
            assert await stream.next() == ("log", "1:20")
            assert log.starts == [10]

    play(scene)


@pytest.mark.parametrize(
    ("query", "start"), [("types=log", Tail(100)), ("types=log&tail=5", Tail(5)), ("types=log&offset=10", 10)]
)
def test_log_begins_where_it_is_asked_to(query: str, start: Any):
    assert read_wanted(Asked({}, query, None)).start == start


def test_unfinished_line_has_no_id():
    async def scene(broker: Broker) -> None:
        log = FakeTaskOutput(FakePiece("partial", b"{}", 0))
        async with follow(broker, Following((1, RUNNING)), "types=log", log=log) as stream:
            assert await stream.next() == ("partial", None)

    play(scene)


def test_end_waits_for_the_log_and_tells_where_it_ends():
    async def scene(broker: Broker) -> None:
        log = FakeTaskOutput(*LINES)
        following = Following((1, RUNNING), (2, COMPLETED))
        async with follow(broker, following, "types=log", log=log) as stream:
            await stream.some(2)
            assert await stream.is_silent()
            log.ended.set()
            last = await stream.frame()
            assert (last.type, json.loads(last.json)["data"]) == (MessageType.END, {"task_id": "t", "next_offset": 20})

    play(scene)


def test_log_of_a_task_that_was_resumed_is_followed_on():
    async def scene(broker: Broker) -> None:
        log = FakeTaskOutput(LINES[0])
        async with follow(broker, Following((1, RUNNING)), "types=log,status", log=log) as stream:
            await stream.some(2)
            broker.publish(status(position=2, current=COMPLETED))
            assert await stream.next() == ("status", "2:10")
            log.ended.set()
            assert await stream.is_silent()
            log.pieces.append(LINES[1])
            log.ended.clear()
            for message in (end(position=2), status(position=3, current=QUEUED)):
                broker.publish(message)
            assert await stream.some(2) == [("status", "3:10"), ("log", "3:20")]

    play(scene)


def test_log_whose_end_comes_after_the_task_was_resumed_is_followed_on():
    async def scene(broker: Broker) -> None:
        log = FakeTaskOutput(LINES[0])
        async with follow(broker, Following((1, RUNNING)), "types=log,status", log=log) as stream:
            await stream.some(2)
            broker.publish(status(position=2, current=COMPLETED))
            broker.publish(status(position=3, current=QUEUED))
            assert await stream.some(2) == [("status", "2:10"), ("status", "3:10")]
            log.pieces.append(LINES[1])
            log.ended.set()
            assert await stream.next() == ("log", "3:20")

    play(scene)


def test_log_that_cannot_be_followed_any_more_ends_the_stream_without_an_end():
    class Torn(FakeTaskOutput):
        async def follow(self, task_id: str, start: Any) -> Any:
            yield LINES[0]

    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING)), "types=log", log=Torn()) as stream:
            assert await stream.rest() == [("log", "1:10")]

    play(scene)


def test_log_waits_for_its_reader():
    async def scene(broker: Broker) -> None:
        read: list[int] = []

        class Counted(FakeTaskOutput):
            async def follow(self, task_id: str, start: Any) -> Any:
                for number in range(100):
                    read.append(number)
                    yield FakePiece("log", b"{}", number)

        async with follow(broker, Following((1, RUNNING)), "types=log", log=Counted()) as stream:
            await stream.next()
            await settle()
            assert len(read) <= 3

    play(scene)


# -- the end of the server, and slow readers -------------------------------------------------------------------------


def test_stream_is_closed_when_the_server_ends():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING)), "types=log,status") as stream:
            await stream.next()
            broker.close()
            assert await stream.rest() == [("closing", None)]

    play(scene)


def test_reader_that_is_too_slow_is_told_so_and_dropped():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING)), "types=status") as stream:
            await stream.next()
            for position in range(2, 500):
                broker.publish(status(position=position))
            assert await stream.next() == ("closing", None)
            with pytest.raises(TooSlow):
                await stream.next()

    play(scene)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(Invalid) as refused:
        read_wanted(Asked({}, "types=x&offset=1&tail=2&level=info", None))
    assert {mistake.pointer for mistake in refused.value.mistakes} == {"/types", "", "/level"}
