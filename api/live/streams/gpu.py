"""The stream of the GPUs: the latest snapshot at once, then each new one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.live.addresses import Asked, Opener
from api.live.broker import Broker
from api.live.delivery import Frames
from api.live.frames import closing_frame
from api.live.subscription import Published, Subscription, TooSlow
from api.models.live import Message, MessageType, StreamEnding, Topic

#: How many snapshots a subscriber may be behind.
QUEUE_SNAPSHOTS = 16


def snapshot_message(number: int, json: bytes) -> Message:
    """The message of a state of the GPUs, with its number."""
    return Message(Topic.GPU, MessageType.SNAPSHOT, json, position=number)


def create_gpu_stream(broker: Broker) -> Opener:
    """Makes the function that opens this stream for one subscriber."""

    @asynccontextmanager
    async def open_stream(asked: Asked) -> AsyncIterator[Frames]:
        with broker.subscribe([Topic.GPU], capacity=QUEUE_SNAPSHOTS) as subscription:
            yield _frames(subscription, broker.latest_snapshot())

    return open_stream


async def _frames(subscription: Subscription, latest: Published | None) -> Frames:
    seen = 0
    if latest is not None:
        seen = latest.number
        yield [latest.snapshot_frame]
    async for some in subscription.after(seen):
        yield [published.snapshot_frame for published in some]
    if subscription.ending is not None:
        yield [closing_frame(subscription.ending)]
    if subscription.ending is StreamEnding.TOO_SLOW:
        raise TooSlow
