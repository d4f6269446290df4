"""The stream of the GPUs: the latest snapshot at once, then each new one."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from api.live.addresses import Asked, Opener
from api.live.broker import Broker
from api.live.delivery import Frames
from api.live.frames import Frame, closing_frame
from api.live.subscription import Published, Subscription, TooSlow
from api.models.live import Message, MessageType, StreamEnding, Topic
from api.models.sight import Sight, current_sight

#: How many snapshots a subscriber may be behind.
QUEUE_SNAPSHOTS = 16


def snapshot_message(number: int, json: bytes, show: Callable[[Sight], bytes] | None = None) -> Message:
    """The message of a state of the GPUs, with its number; `show` makes the JSON for who may not see all of it."""
    return Message(Topic.GPU, MessageType.SNAPSHOT, json, position=number, show=show)


class Unchanged:
    """Knows the snapshots in which a reader who may not see everything would see nothing new: when something else has
    changed is not theirs to know.
    """

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._last = b""

    def drop(self, frames: Sequence[Frame]) -> list[Frame]:
        """The frames without such snapshots."""
        return [frame for frame in frames if self._is_news(frame)]

    def _is_news(self, frame: Frame) -> bool:
        if self._sight.is_whole or frame.type is not MessageType.SNAPSHOT:
            return True
        before, self._last = self._last, frame.json
        return frame.json != before


def create_gpu_stream(broker: Broker) -> Opener:
    """Makes the function that opens this stream for one subscriber."""

    @asynccontextmanager
    async def open_stream(asked: Asked) -> AsyncIterator[Frames]:
        with broker.subscribe([Topic.GPU], capacity=QUEUE_SNAPSHOTS) as subscription:
            yield _frames(subscription, broker.latest_snapshot(), current_sight.get())

    return open_stream


async def _frames(subscription: Subscription, latest: Published | None, sight: Sight) -> Frames:
    seen, unchanged = 0, Unchanged(sight)
    if latest is not None:
        seen = latest.number
        yield unchanged.drop([latest.snapshot_frame(sight)])
    async for some in subscription.after(seen):
        yield unchanged.drop([published.snapshot_frame(sight) for published in some])
    if subscription.ending is not None:
        yield [closing_frame(subscription.ending)]
    if subscription.ending is StreamEnding.TOO_SLOW:
        raise TooSlow
