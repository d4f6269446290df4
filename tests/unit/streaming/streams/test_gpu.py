import asyncio

import pytest

from api.domain.access.read_scope import ReadScope
from api.errors import NodeNotFound
from api.gpus.stream import QUEUE_SNAPSHOTS, create_gpu_stream, snapshot_message
from api.streaming.addresses import StreamRequest
from api.streaming.broker import Broker
from api.streaming.models import Message, Topic
from api.streaming.subscription import TooSlow
from tests.unit.streaming.builders import play, settle, system

ASKED = StreamRequest({}, "", None)


def test_latest_snapshot_comes_first_and_then_each_new_one_with_its_number():
    async def scene(broker: Broker) -> list[str | None]:
        with broker.subscribe([Topic.GPU]):
            broker.publish(snapshot_message(5, b"{}"))
        # It is still being sent to all subscribers: a new one must not get it twice.
        async with create_gpu_stream(broker)(ASKED) as frames:
            ids = [frame.id for frame in await anext(frames)]
            await settle()
            broker.publish(system())
            for number in (6, 7):
                broker.publish(snapshot_message(number, b"{}"))
            await settle()
            return ids + [frame.id for frame in await anext(frames)]

    assert play(scene) == ["5", "6", "7"]


def test_stream_waits_for_the_first_snapshot():
    async def scene(broker: Broker) -> str | None:
        async with create_gpu_stream(broker)(ASKED) as frames:
            waiting = asyncio.ensure_future(anext(frames))
            await settle()
            assert not waiting.done()
            broker.publish(snapshot_message(1, b"{}"))
            return (await waiting)[0].id

    assert play(scene) == "1"


def test_client_that_does_not_read_is_notified_and_dropped():
    async def scene(broker: Broker) -> list[str]:
        async with create_gpu_stream(broker)(ASKED) as frames:
            for number in range(QUEUE_SNAPSHOTS + 2):
                broker.publish(snapshot_message(number, b"{}"))
            await settle()
            types = [frame.type.value for frame in await anext(frames)]
            with pytest.raises(TooSlow):
                await anext(frames)
            return types

    assert play(scene) == ["closing"]


def test_stream_ends_with_the_server():
    async def scene(broker: Broker) -> list[str]:
        async with create_gpu_stream(broker)(ASKED) as frames:
            broker.close()
            return [frame.type.value async for some in frames for frame in some]

    assert play(scene) == ["closing"]


OF_GPU2 = StreamRequest({}, "node=gpu2", None)


def of_nodes(number: int, made: list[tuple[int, str]], **known: bytes) -> Message:
    """Return a snapshot of these machines that records its requested forms."""

    def show(scope: ReadScope, node: str) -> bytes:
        made.append((number, node))
        if node not in known:
            raise NodeNotFound
        return known[node]

    return snapshot_message(number, b"{}", show_node=show)


def test_stream_of_one_node_has_only_its_changes_encoded_once_for_all():
    made: list[tuple[int, str]] = []

    async def scene(broker: Broker) -> list[tuple[str | None, bytes]]:
        broker.publish(of_nodes(1, made, gpu2=b'{"gpu2":1}'))
        stream = create_gpu_stream(broker)
        async with stream(OF_GPU2) as first, stream(OF_GPU2) as second:
            frames_of_both = [*(await anext(first)), *(await anext(second))]
            broker.publish(of_nodes(2, made, gpu2=b'{"gpu2":1}', gpu3=b"{}"))
            broker.publish(of_nodes(3, made, gpu2=b'{"gpu2":2}', gpu3=b"{}"))
            await settle()
            frames_of_both += [*(await anext(first)), *(await anext(second))]
            return [(frame.id, frame.json) for frame in frames_of_both]

    assert play(scene) == [("1", b'{"gpu2":1}')] * 2 + [("3", b'{"gpu2":2}')] * 2
    assert made == [(1, "gpu2"), (2, "gpu2"), (3, "gpu2")]


def test_unknown_node_is_rejected_before_anything_is_sent():
    async def scene(broker: Broker) -> None:
        broker.publish(of_nodes(1, []))
        async with create_gpu_stream(broker)(OF_GPU2):
            raise AssertionError("it was opened")

    with pytest.raises(NodeNotFound):
        play(scene)


def test_deleted_node_ends_its_stream():
    async def scene(broker: Broker) -> list[bytes]:
        broker.publish(of_nodes(1, [], gpu2=b"{}"))
        async with create_gpu_stream(broker)(OF_GPU2) as frames:
            await anext(frames)
            broker.publish(of_nodes(2, []))
            return [frame.json async for some in frames for frame in some]

    (last,) = play(scene)
    assert b'{"reason":"node_gone"}' in last
