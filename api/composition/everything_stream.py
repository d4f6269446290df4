"""The event stream of a whole page: GPU snapshots, events of all trainings, alerts, and the service's messages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import BeforeValidator

from api.domain.access import Permission, current_principal
from api.domain.read_scope import ReadScope, current_scope
from api.errors import Forbidden
from api.gpus.stream import UnchangedFilter
from api.streaming.addresses import Opener, StreamRequest
from api.streaming.broker import Broker, MissedMessages
from api.streaming.delivery import Frames
from api.streaming.frames import Frame, closing_frame, reset_frame
from api.streaming.models import StreamEnding, Topic
from api.streaming.query_parameters import StreamQuery, read_query, some_of
from api.streaming.subscription import Subscription, TooSlow

#: The topics that can be requested. Output is streamed per task.
TOPICS = (Topic.GPU, Topic.TASK, Topic.SYSTEM, Topic.ALERT)

#: The default topics. Alerts require a permission of their own.
_USUAL = (Topic.GPU, Topic.TASK, Topic.SYSTEM)


class EventsStreamQuery(StreamQuery):
    """The requested topics, and the position of the subscriber."""

    topics: Annotated[tuple[Topic, ...], BeforeValidator(some_of(TOPICS))] = _USUAL
    last_event_id: str | None = None


def create_events_stream(broker: Broker) -> Opener:
    """Return the function that opens this stream for one subscriber."""

    @asynccontextmanager
    async def open_stream(request: StreamRequest) -> AsyncIterator[Frames]:
        query = read_query(EventsStreamQuery, request.query)
        if Topic.ALERT in query.topics and not current_principal.get().may(Permission.ALERTS_READ):
            needed = Permission.ALERTS_READ
            raise Forbidden(f"Alerts need the permission {needed}.", data={"missing_permission": needed})
        last_id, scope = request.last_event_id or query.last_event_id or None, current_scope.get()
        with broker.subscribe(query.topics, keeps_latest_snapshot=True, scope=scope) as subscription:
            # Now, not when the first frame is requested, so that later messages count as new.
            yield _frames(subscription, broker.catch_up(query.topics, last_id, scope), broker.boot, scope)

    return open_stream


async def _frames(subscription: Subscription, missed: MissedMessages, boot: str, scope: ReadScope) -> Frames:
    unchanged = UnchangedFilter(scope.is_whole)
    yield unchanged.drop(_first(missed, f"{boot}-{missed.number}", scope))
    async for some in subscription.after(missed.number):
        yield unchanged.drop([published.frame(scope) for published in some])
    if subscription.ending is not None:
        yield [closing_frame(subscription.ending)]
    if subscription.ending is StreamEnding.TOO_SLOW:
        raise TooSlow


def _first(missed: MissedMessages, id_: str, scope: ReadScope) -> list[Frame]:
    shown = [published.frame(scope) for published in missed.messages]
    if missed.is_continued:
        return shown
    frames = [reset_frame()] if missed.is_reset else []
    frames += [Frame(each.type, each.json) for each in shown]
    if frames:
        # Only after the last frame does the client have the complete state, from which it can continue.
        frames[-1] = Frame(frames[-1].type, frames[-1].json, id_)
    return frames
