"""The stream for a whole page: snapshots, what happens to all trainings, and the service itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import BeforeValidator

from api.live.addresses import Asked, Opener
from api.live.broker import Broker, Missed
from api.live.delivery import Frames
from api.live.frames import Frame, closing_frame, reset_frame
from api.live.query_parameters import StreamQuery, read_query, some_of
from api.live.subscription import Subscription, TooSlow
from api.models.live import StreamEnding, Topic

#: The topics that can be asked for. Output is followed task by task.
TOPICS = (Topic.GPU, Topic.TASK, Topic.SYSTEM)


class EventsStreamQuery(StreamQuery):
    """Which topics are wanted, and where the subscriber goes on."""

    topics: Annotated[tuple[Topic, ...], BeforeValidator(some_of(TOPICS))] = TOPICS
    last_event_id: str | None = None


def create_events_stream(broker: Broker) -> Opener:
    """Makes the function that opens this stream for one subscriber."""

    @asynccontextmanager
    async def open_stream(asked: Asked) -> AsyncIterator[Frames]:
        query = read_query(EventsStreamQuery, asked.query)
        last_id = asked.last_event_id or query.last_event_id or None
        with broker.subscribe(query.topics, keeps_latest_snapshot=True) as subscription:
            # At once, and not when the first frame is asked for: what comes in between is new.
            yield _frames(subscription, broker.catch_up(query.topics, last_id), broker.boot)

    return open_stream


async def _frames(subscription: Subscription, missed: Missed, boot: str) -> Frames:
    yield _first(missed, f"{boot}-{missed.number}")
    async for some in subscription.after(missed.number):
        yield [published.frame for published in some]
    if subscription.ending is not None:
        yield [closing_frame(subscription.ending)]
    if subscription.ending is StreamEnding.TOO_SLOW:
        raise TooSlow


def _first(missed: Missed, id_: str) -> list[Frame]:
    if missed.is_continued:
        return [published.frame for published in missed.messages]
    frames = [reset_frame()] if missed.is_reset else []
    frames += [Frame(each.message.type, each.message.json) for each in missed.messages]
    if frames:
        # Only with the last of them has a client the whole present, and can go on from it.
        frames[-1] = Frame(frames[-1].type, frames[-1].json, id_)
    return frames
