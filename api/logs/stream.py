"""Streams of logs. An event's id is the byte offset at which its reader continues."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from api.logs.batches import LogBatch
from api.logs.follower import Follower, LogFeeds, Tail
from api.logs.service import LogService
from api.logs.stream_output import FollowLog, FollowQuery, LogPiece, parse_follow_query
from api.streaming.addresses import Opener, StreamRequest
from api.streaming.blocking_reads import BlockingReads
from api.streaming.delivery import Frames
from api.streaming.frames import Frame, closing_frame
from api.streaming.models import MessageType, StreamEnding


def create_log_stream(logs: LogService, feeds: LogFeeds, reads: BlockingReads) -> Opener:
    """Return the function that opens the stream of a task's log, with how the task ended."""

    @asynccontextmanager
    async def open_stream(request: StreamRequest) -> AsyncIterator[Frames]:
        query = parse_follow_query(request)
        source = await reads.read(logs.find, request.arguments["task_id"])
        async with feeds.follow(source, query.start, query.line_filter) as follower:
            yield _frames(follower)

    return open_stream


def create_own_log_stream(logs: LogService, feeds: LogFeeds) -> Opener:
    """Return the function that opens the stream of the server's own log."""

    @asynccontextmanager
    async def open_stream(request: StreamRequest) -> AsyncIterator[Frames]:
        query: FollowQuery = parse_follow_query(request)
        async with feeds.follow(logs.own, query.start, query.line_filter) as follower:
            yield _frames(follower)

    return open_stream


async def _frames(follower: Follower) -> Frames:
    async for batch in follower:
        yield [frame(batch)]
    if follower.was_cut_off:
        yield [closing_frame(StreamEnding.SERVER_ENDING)]


def frame(batch: LogBatch) -> Frame:
    """Return the frame of a batch. An unfinished line has no id, since the reader's position is still before it."""
    return Frame(MessageType(batch.kind), batch.json, None if batch.kind == "partial" else str(batch.next_offset))


def follow_task_log(logs: LogService, feeds: LogFeeds, reads: BlockingReads) -> FollowLog:
    """Return the function that follows a task's log as a part of the task's stream."""

    async def follow(task_id: str, start: int | Tail) -> AsyncGenerator[LogPiece, None]:
        source = await reads.read(logs.find, task_id)
        async with feeds.follow(source, start) as follower:
            async for batch in follower:
                yield batch

    return follow
