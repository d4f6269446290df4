"""The stream of one task: its events, progress, metrics and output, and at last its end."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import orjson
from pydantic import BeforeValidator

from api.domain.sight import current_sight
from api.domain.training import TaskStatus
from api.events.following import TaskFollowing
from api.logs.follower import Tail
from api.logs.stream_output import FollowingLog, FollowLog, LogPiece
from api.logs.stream_query import PLACES, Offset, TailLines, place
from api.streaming.addresses import Asked, Opener
from api.streaming.blocking_reads import BlockingReads
from api.streaming.broker import Broker
from api.streaming.delivery import Frames
from api.streaming.frames import Frame, closing_frame, reset_frame
from api.streaming.models import EventPosition, Message, MessageType, StreamEnding, Topic
from api.streaming.query_parameters import StreamQuery, read_query, some_of
from api.streaming.subscription import Published, Subscription, TooSlow
from api.util.envelope import encode_message

_ID = re.compile(r"(\d{1,18}):(\d{0,18})", re.ASCII)


class TaskMessages(StrEnum):
    """The kinds of messages that a subscriber can ask for."""

    PROGRESS = "progress"
    METRICS = "metrics"
    STATUS = "status"
    LOG = "log"


class TaskStreamQuery(StreamQuery):
    """Which messages are wanted, and where the log and the subscriber go on, as it is asked."""

    alternatives = PLACES

    types: Annotated[tuple[TaskMessages, ...], BeforeValidator(some_of(tuple(TaskMessages)))] = tuple(TaskMessages)
    offset: Offset = None
    tail: TailLines = None
    last_event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one subscriber asks for, and where it goes on."""

    types: frozenset[TaskMessages]
    after: int | None  #: the id of the last event that it has seen; None begins with the latest
    start: int | Tail  #: where in the log it begins
    is_reset: bool  #: whether it came back with an id that is none of ours


def create_task_stream(broker: Broker, following: TaskFollowing, reads: BlockingReads, follow_log: FollowLog) -> Opener:
    """Makes the function that opens this stream for one subscriber."""

    @asynccontextmanager
    async def open_stream(asked: Asked) -> AsyncIterator[Frames]:
        wanted = read_wanted(asked)
        task_id = asked.arguments["task_id"]
        # Subscribed first: what happens while the database is read is not missed.
        with broker.subscribe([Topic.TASK], task_id) as subscription:
            position = await reads.read(following.position, task_id, wanted.after)
            yield _TaskStream(task_id, wanted, broker, subscription, following, reads, follow_log).frames(position)

    return open_stream


def read_wanted(asked: Asked) -> Wanted:
    """What a request asks for; an id that cannot be read counts as an old one. Raises Invalid with every mistake."""
    query = read_query(TaskStreamQuery, asked.query)
    start = place(query.offset, query.tail)
    given = asked.last_event_id or query.last_event_id or None
    last = None if given is None else _ID.fullmatch(given)
    if last is not None and last[2]:
        start = int(last[2])
    after = None if last is None else int(last[1])
    return Wanted(frozenset(query.types), after, start, is_reset=given is not None and last is None)


class _TaskStream:
    """The stream of one subscriber."""

    def __init__(
        self,
        task_id: str,
        wanted: Wanted,
        broker: Broker,
        subscription: Subscription,
        following: TaskFollowing,
        reads: BlockingReads,
        follow_log: FollowLog,
    ) -> None:
        self._task_id = task_id
        self._wanted = wanted
        self._broker = broker
        self._subscription = subscription
        self._following = following
        self._reads = reads
        self._log = FollowingLog(task_id, wanted.start, follow_log, subscription.news)
        self._follows_log = TaskMessages.LOG in wanted.types
        self._sight = current_sight.get()
        self._event_id = 0
        self._told = 0  # the number of the latest progress
        self._end: Message | None = None
        self._was_queued_again = False  # and its log not yet followed on

    async def frames(self, position: EventPosition) -> Frames:
        """All frames, from the events of `position` on."""
        async with aclosing(self._log):
            async for frames in self._first(position):
                yield frames
            if self._follows_log:
                self._log.start()
            while (following := await self._next()) is not None:
                yield following
            yield self._last()
        if self._subscription.ending is StreamEnding.TOO_SLOW:
            raise TooSlow

    # -- the beginning ---------------------------------------------------------------------------------------------

    async def _first(self, position: EventPosition) -> Frames:
        after = self._wanted.after
        if self._wanted.is_reset or (after is not None and position.last_id < after):
            yield [reset_frame()]
        while True:
            self._event_id = position.last_id
            if TaskMessages.STATUS in self._wanted.types:
                missed = self._following.missed(position)
                yield [Frame(message.type, message.json, self._id(message.position)) for message in missed]
            if not position.has_more:
                break
            position = await self._reads.read(self._following.position, self._task_id, position.last_id)
        if TaskMessages.PROGRESS in self._wanted.types:
            yield [Frame(MessageType.PROGRESS, await self._progress(), self._id())]
        if position.status.is_finished:
            self._end = await self._reads.read(self._following.end, self._task_id, position.last_id)

    async def _progress(self) -> bytes:
        latest = self._broker.latest_progress(self._task_id)
        if latest is None:
            return (await self._reads.read(self._following.progress, self._task_id)).json
        self._told = latest.number
        return latest.message.shown_to(self._sight)

    # -- what comes ------------------------------------------------------------------------------------------------

    async def _next(self) -> list[Frame] | None:
        """The frames of what waits; None when the stream is over."""
        while True:
            self._subscription.news.clear()
            taken = self._subscription.take()
            frames = [frame for published in taken for frame in self._show(published)]
            piece = self._log.take()
            if piece is not None:
                frames.append(self._show_piece(piece))
            if self._was_queued_again and self._follows_log and self._log.has_ended:
                # What has ended was its log up to then.
                self._was_queued_again = False
                self._log.start()
            if frames:
                return frames
            if taken:
                # Nothing of it was wanted; there may be more.
                continue
            if self._is_over():
                return None
            await self._subscription.news.wait()

    def _show(self, published: Published) -> list[Frame]:
        message = published.message
        if message.type is MessageType.STATUS:
            return self._show_status(message)
        if message.type is MessageType.END:
            if (message.position or 0) >= self._event_id:
                self._end = message
            return []
        if message.type.value not in self._wanted.types:
            return []
        if message.type is MessageType.PROGRESS and published.number <= self._told:
            return []
        return [Frame(message.type, message.shown_to(self._sight), self._id())]

    def _show_status(self, message: Message) -> list[Frame]:
        if (message.position or 0) <= self._event_id:
            return []
        self._event_id = message.position or 0
        if message.status is not None and not message.status.is_finished:
            self._end = None
            self._was_queued_again |= message.status is TaskStatus.QUEUED
        return [Frame(message.type, message.json, self._id())] if TaskMessages.STATUS in self._wanted.types else []

    def _show_piece(self, piece: LogPiece) -> Frame:
        # The reader of an unfinished line is still before it.
        id_ = None if piece.kind == MessageType.PARTIAL else self._id()
        return Frame(MessageType(piece.kind), piece.json, id_)

    def _id(self, event_id: int | None = None) -> str:
        offset = self._log.next_offset
        return f"{self._event_id if event_id is None else event_id}:{'' if offset is None else offset}"

    # -- the end ---------------------------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        if self._subscription.ending is not None or self._log.was_cut_off:
            return True
        return self._end is not None and (not self._follows_log or self._log.has_ended)

    def _last(self) -> list[Frame]:
        if self._subscription.ending is not None:
            return [closing_frame(self._subscription.ending)]
        if self._end is None:
            return []
        end = orjson.loads(self._end.json)["data"] | {"next_offset": self._log.next_offset}
        return [Frame(MessageType.END, encode_message(MessageType.END, end), self._id())]
