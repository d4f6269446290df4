"""The stream of the GPUs of all machines or of one: the latest snapshot immediately, then each new one."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import ConfigDict, Field

from api.domain.access.read_scope import ReadScope, current_scope
from api.errors import NodeNotFound
from api.streaming.addresses import Opener, StreamRequest
from api.streaming.broker import Broker
from api.streaming.delivery import Frames
from api.streaming.frames import Frame, closing_frame
from api.streaming.models import Message, MessageType, StreamEnding, Topic
from api.streaming.query_parameters import StreamQuery, read_query
from api.streaming.subscription import Published, Subscription, TooSlow

#: The maximum number of snapshots that a subscriber may be behind.
QUEUE_SNAPSHOTS = 16

_LONGEST_NAME = 255


class GPUStreamQuery(StreamQuery):
    """The query of a GPU stream, with the node of the GPUs."""

    model_config = ConfigDict(extra="ignore")

    node: Annotated[str, Field(max_length=_LONGEST_NAME)] | None = None


def snapshot_message(
    number: int,
    json: bytes,
    show: Callable[[ReadScope], bytes] | None = None,
    show_node: Callable[[ReadScope, str], bytes] | None = None,
) -> Message:
    """Return the message of a GPU state, with its number.

    `show` builds the JSON for readers with a limited scope, and `show_node` the one for a single machine.
    """
    return Message(Topic.GPU, MessageType.SNAPSHOT, json, position=number, show=show, show_node=show_node)


class UnchangedFilter:
    """Drops snapshots in which a reader with a limited view would see no change.

    Otherwise their arrival would reveal changes outside of that view.
    """

    def __init__(self, gets_all: bool) -> None:
        self._gets_all = gets_all
        self._last = b""

    def drop(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return the frames without unchanged snapshots."""
        return [frame for frame in frames if self._is_news(frame)]

    def _is_news(self, frame: Frame) -> bool:
        if self._gets_all or frame.type is not MessageType.SNAPSHOT:
            return True
        before, self._last = self._last, frame.json
        return frame.json != before


def create_gpu_stream(broker: Broker) -> Opener:
    """Return the function that opens this stream for one subscriber."""

    @asynccontextmanager
    async def open_stream(request: StreamRequest) -> AsyncIterator[Frames]:
        node = read_node(request.query)
        with broker.subscribe([Topic.GPU], capacity=QUEUE_SNAPSHOTS) as subscription:
            latest, scope = broker.latest_snapshot(), current_scope.get()
            if latest is not None:
                latest.snapshot_frame(scope, node)  # reject an unknown node before anything is sent
            yield _frames(subscription, latest, scope, node)

    return open_stream


def read_node(query: str) -> str | None:
    """Return the node that a query names, or None for all nodes.

    Raises Invalid and MalformedRequest.
    """
    if "node=" not in query:
        # These addresses have always accepted any query.
        return None
    return read_query(GPUStreamQuery, query).node


async def _frames(subscription: Subscription, latest: Published | None, scope: ReadScope, node: str | None) -> Frames:
    seen, unchanged = 0, UnchangedFilter(scope.is_whole and node is None)
    if latest is not None:
        seen = latest.number
        yield unchanged.drop([latest.snapshot_frame(scope, node)])
    try:
        async for some in subscription.after(seen):
            yield unchanged.drop([published.snapshot_frame(scope, node) for published in some])
    except NodeNotFound:
        yield [closing_frame(StreamEnding.NODE_GONE)]
        return
    if subscription.ending is not None:
        yield [closing_frame(subscription.ending)]
    if subscription.ending is StreamEnding.TOO_SLOW:
        raise TooSlow
