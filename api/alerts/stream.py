"""The stream of alerts: each change, with the alert as it is then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.domain.access.read_scope import ReadScope, current_scope
from api.streaming.addresses import Opener, StreamRequest
from api.streaming.broker import Broker, MissedMessages
from api.streaming.delivery import Frames
from api.streaming.frames import Frame, closing_frame, reset_frame
from api.streaming.models import StreamEnding, Topic
from api.streaming.query_parameters import StreamQuery, read_query
from api.streaming.subscription import Subscription, TooSlow


class AlertsStreamQuery(StreamQuery):
    """The position from which the stream continues."""

    last_event_id: str | None = None


def create_alerts_stream(broker: Broker) -> Opener:
    """Return the function that opens this stream for one subscriber."""

    @asynccontextmanager
    async def open_stream(request: StreamRequest) -> AsyncIterator[Frames]:
        query = read_query(AlertsStreamQuery, request.query)
        last_id, scope = request.last_event_id or query.last_event_id or None, current_scope.get()
        with broker.subscribe([Topic.ALERT], scope=scope) as subscription:
            yield _frames(subscription, broker.catch_up([Topic.ALERT], last_id, scope), scope)

    return open_stream


async def _frames(subscription: Subscription, missed: MissedMessages, scope: ReadScope) -> Frames:
    first: list[Frame] = [published.frame(scope) for published in missed.messages]
    if missed.is_reset:
        first.insert(0, reset_frame())
    if first:
        yield first
    async for some in subscription.after(missed.number):
        yield [published.frame(scope) for published in some]
    if subscription.ending is not None:
        yield [closing_frame(subscription.ending)]
    if subscription.ending is StreamEnding.TOO_SLOW:
        raise TooSlow
