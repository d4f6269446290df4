"""The stream of one task: its events, progress, metrics and log, and finally its end."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import orjson
from pydantic import BeforeValidator

from api.domain.access.read_scope import current_scope
from api.domain.tasks.training import TaskStatus
from api.events.stream_reader import TaskStreamReader
from api.logs.follower import Tail
from api.logs.stream_output import START_PARAMETERS, FollowedLog, FollowLog, LogPiece, Offset, TailLines, start_of
from api.streaming.addresses import Opener, StreamRequest
from api.streaming.blocking_reads import BlockingReads
from api.streaming.broker import Broker
from api.streaming.delivery import Frames
from api.streaming.frames import Frame, closing_frame, reset_frame
from api.streaming.models import EventPosition, Message, MessageType, StreamEnding, Topic
from api.streaming.query_parameters import StreamQuery, read_query, some_of
from api.streaming.subscription import Published, Subscription, TooSlow
from api.util.http.envelope import encode_message

_ID = re.compile(r"(\d{1,18}):(\d{0,18})", re.ASCII)


class TaskMessages(StrEnum):
    """The kinds of messages that a subscriber can select."""

    PROGRESS = "progress"
    METRICS = "metrics"
    STATUS = "status"
    LOG = "log"


class TaskStreamQuery(StreamQuery):
    """The query parameters: the kinds of messages, and where the log and the events continue."""

    alternatives = START_PARAMETERS

    types: Annotated[tuple[TaskMessages, ...], BeforeValidator(some_of(tuple(TaskMessages)))] = tuple(TaskMessages)
    offset: Offset = None
    tail: TailLines = None
    last_event_id: str | None = None


@dataclass(frozen=True, slots=True)
class TaskStreamOptions:
    """The options of one subscriber."""

    types: frozenset[TaskMessages]
    after: int | None  #: id of the last event that it has received; None starts with the latest
    start: int | Tail  #: where the log starts
    is_reset: bool  #: whether it reconnected with an id that is not valid here


def create_task_stream(
    broker: Broker, following: TaskStreamReader, reads: BlockingReads, follow_log: FollowLog
) -> Opener:
    """Return the function that opens this stream for one subscriber."""

    @asynccontextmanager
    async def open_stream(request: StreamRequest) -> AsyncIterator[Frames]:
        options = read_options(request)
        task_id = request.arguments["task_id"]
        # Subscribed first, so that no message is missed while the database is read.
        with broker.subscribe([Topic.TASK], task_id) as subscription:
            position = await reads.read(following.position, task_id, options.after)
            yield _TaskStream(task_id, options, broker, subscription, following, reads, follow_log).frames(position)

    return open_stream


def read_options(request: StreamRequest) -> TaskStreamOptions:
    """Return the options of a request. An unreadable id counts as an old one. Raises Invalid with every mistake."""
    query = read_query(TaskStreamQuery, request.query)
    start = start_of(query.offset, query.tail)
    last_event_id = request.last_event_id or query.last_event_id or None
    last = None if last_event_id is None else _ID.fullmatch(last_event_id)
    if last is not None and last[2]:
        start = int(last[2])
    after = None if last is None else int(last[1])
    return TaskStreamOptions(frozenset(query.types), after, start, is_reset=last_event_id is not None and last is None)


class _TaskStream:
    """The stream of one subscriber."""

    def __init__(
        self,
        task_id: str,
        options: TaskStreamOptions,
        broker: Broker,
        subscription: Subscription,
        following: TaskStreamReader,
        reads: BlockingReads,
        follow_log: FollowLog,
    ) -> None:
        self._task_id = task_id
        self._options = options
        self._broker = broker
        self._subscription = subscription
        self._following = following
        self._reads = reads
        self._log = FollowedLog(task_id, options.start, follow_log, subscription.changed)
        self._follows_log = TaskMessages.LOG in options.types
        self._scope = current_scope.get()
        self._event_id = 0
        self._progress_number = 0  # number of the latest progress message
        self._end: Message | None = None
        self._was_queued_again = False  # and the log is not followed again yet

    async def frames(self, position: EventPosition) -> Frames:
        """Yield all frames, starting with the events of `position`."""
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

    # -- start -----------------------------------------------------------------------------------------------------

    async def _first(self, position: EventPosition) -> Frames:
        after = self._options.after
        if self._options.is_reset or (after is not None and position.last_id < after):
            yield [reset_frame()]
        while True:
            self._event_id = position.last_id
            if TaskMessages.STATUS in self._options.types:
                missed = self._following.missed(position)
                yield [Frame(message.type, message.json, self._id(message.position)) for message in missed]
            if not position.has_more:
                break
            position = await self._reads.read(self._following.position, self._task_id, position.last_id)
        if TaskMessages.PROGRESS in self._options.types:
            yield [Frame(MessageType.PROGRESS, await self._progress(), self._id())]
        if position.status.is_finished:
            self._end = await self._reads.read(self._following.end, self._task_id, position.last_id)

    async def _progress(self) -> bytes:
        latest = self._broker.latest_progress(self._task_id)
        if latest is None:
            return (await self._reads.read(self._following.progress, self._task_id)).json
        self._progress_number = latest.number
        return latest.message.shown_to(self._scope)

    # -- updates ---------------------------------------------------------------------------------------------------

    async def _next(self) -> list[Frame] | None:
        """Return the next frames; None when the stream is over."""
        while True:
            self._subscription.changed.clear()
            taken = self._subscription.take()
            frames = [frame for published in taken for frame in self._show(published)]
            piece = self._log.take()
            if piece is not None:
                frames.append(self._show_piece(piece))
            if self._was_queued_again and self._follows_log and self._log.has_ended:
                # The log that has ended belongs to the attempts before the task was queued again.
                self._was_queued_again = False
                self._log.start()
            if frames:
                return frames
            if taken:
                # The subscriber has selected none of these messages. There may be more.
                continue
            if self._is_over():
                return None
            await self._subscription.changed.wait()

    def _show(self, published: Published) -> list[Frame]:
        message = published.message
        if message.type is MessageType.STATUS:
            return self._show_status(message)
        if message.type is MessageType.END:
            if (message.position or 0) >= self._event_id:
                self._end = message
            return []
        if message.type.value not in self._options.types:
            return []
        if message.type is MessageType.PROGRESS and published.number <= self._progress_number:
            return []
        return [Frame(message.type, message.shown_to(self._scope), self._id())]

    def _show_status(self, message: Message) -> list[Frame]:
        if (message.position or 0) <= self._event_id:
            return []
        self._event_id = message.position or 0
        if message.status is not None and not message.status.is_finished:
            self._end = None
            self._was_queued_again |= message.status is TaskStatus.QUEUED
        return [Frame(message.type, message.json, self._id())] if TaskMessages.STATUS in self._options.types else []

    def _show_piece(self, piece: LogPiece) -> Frame:
        # The position of the subscriber is still before an unfinished line.
        id_ = None if piece.kind == MessageType.PARTIAL else self._id()
        return Frame(MessageType(piece.kind), piece.json, id_)

    def _id(self, event_id: int | None = None) -> str:
        offset = self._log.next_offset
        return f"{self._event_id if event_id is None else event_id}:{'' if offset is None else offset}"

    # -- end -------------------------------------------------------------------------------------------------------

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
