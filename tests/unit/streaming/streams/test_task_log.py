"""The log in the stream of one task."""

import json
from typing import Any

import pytest

from api.events.stream import read_options
from api.logs.follower import Tail
from api.logs.stream_output import FakePiece, FakeTaskOutput
from api.streaming.addresses import StreamRequest
from api.streaming.broker import Broker
from api.streaming.models import MessageType
from tests.unit.streaming.builders import end, play, settle, status
from tests.unit.streaming.streams.following import COMPLETED, LINES, QUEUED, RUNNING, Following, follow


def test_id_has_the_positions_of_events_and_log():
    async def scene(broker: Broker) -> None:
        async with follow(broker, Following((1, RUNNING)), "types=log,status", log=FakeTaskOutput(*LINES)) as stream:
            assert await stream.some(3) == [("status", "1:"), ("log", "1:10"), ("log", "1:20")]
            broker.publish(status(position=2))
            assert await stream.next() == ("status", "2:20")

    play(scene)


def test_log_continues_at_the_id():
    async def scene(broker: Broker) -> None:
        log = FakeTaskOutput(*LINES)
        async with follow(broker, Following((1, RUNNING)), "types=log&tail=5", "1:10", log) as stream:
            assert await stream.next() == ("log", "1:20")
            assert log.starts == [10]

    play(scene)


@pytest.mark.parametrize(
    ("query", "start"), [("types=log", Tail(100)), ("types=log&tail=5", Tail(5)), ("types=log&offset=10", 10)]
)
def test_log_starts_at_the_requested_offset(query: str, start: Any):
    assert read_options(StreamRequest({}, query, None)).start == start


def test_unfinished_line_has_no_id():
    async def scene(broker: Broker) -> None:
        log = FakeTaskOutput(FakePiece("partial", b"{}", 0))
        async with follow(broker, Following((1, RUNNING)), "types=log", log=log) as stream:
            assert await stream.next() == ("partial", None)

    play(scene)


def test_end_waits_for_the_log_and_has_its_last_offset():
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


def test_log_of_a_resumed_task_is_followed():
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


def test_log_that_ends_after_the_task_was_resumed_is_followed():
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


def test_log_that_can_no_longer_be_followed_ends_the_stream_without_an_end():
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
