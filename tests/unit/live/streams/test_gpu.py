import asyncio

import pytest

from api.live.addresses import Asked
from api.live.broker import Broker
from api.live.streams.gpu import QUEUE_SNAPSHOTS, create_gpu_stream, snapshot_message
from api.live.subscription import TooSlow
from api.models.live import Topic
from tests.unit.live.builders import play, settle, system

ASKED = Asked({}, "", None)


def test_the_latest_comes_at_once_and_then_each_new_one_with_its_own_number():
    async def scene(broker: Broker) -> list[str | None]:
        with broker.subscribe([Topic.GPU]):
            broker.publish(snapshot_message(5, b"{}"))
        # It is on its way to all subscribers still: a new one must not get it twice.
        async with create_gpu_stream(broker)(ASKED) as frames:
            ids = [frame.id for frame in await anext(frames)]
            await settle()
            broker.publish(system())
            for number in (6, 7):
                broker.publish(snapshot_message(number, b"{}"))
            await settle()
            return ids + [frame.id for frame in await anext(frames)]

    assert play(scene) == ["5", "6", "7"]


def test_before_the_first_it_waits():
    async def scene(broker: Broker) -> str | None:
        async with create_gpu_stream(broker)(ASKED) as frames:
            waiting = asyncio.ensure_future(anext(frames))
            await settle()
            assert not waiting.done()
            broker.publish(snapshot_message(1, b"{}"))
            return (await waiting)[0].id

    assert play(scene) == "1"


def test_who_does_not_read_is_told_and_dropped():
    async def scene(broker: Broker) -> list[str]:
        async with create_gpu_stream(broker)(ASKED) as frames:
            for number in range(QUEUE_SNAPSHOTS + 2):
                broker.publish(snapshot_message(number, b"{}"))
            await settle()
            said = [frame.type.value for frame in await anext(frames)]
            with pytest.raises(TooSlow):
                await anext(frames)
            return said

    assert play(scene) == ["closing"]


def test_it_ends_with_the_server():
    async def scene(broker: Broker) -> list[str]:
        async with create_gpu_stream(broker)(ASKED) as frames:
            broker.close()
            return [frame.type.value async for some in frames for frame in some]

    assert play(scene) == ["closing"]
