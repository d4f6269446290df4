"""Logs as Server-Sent Events: an event's id is the byte offset at which its reader goes on."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.live.log_query import FollowQuery, parse_follow_query
from api.live.sse import HEARTBEAT_SECONDS, SEND_SECONDS
from api.services.log_batches import LogBatch
from api.services.log_follower import LogFeeds
from api.services.log_service import LogService
from api.services.log_source import LogSource
from api.utils.envelope import encode_json

Endpoint = Callable[[Request], Awaitable[Response]]

LOG_STREAM_PATH = "/api/v1/training/{task_id}/logs/stream"
OWN_LOG_STREAM_PATH = "/api/v1/system/logs/stream"

_LOG_STREAM = re.compile(r"/api/v1/training/[^/]+/logs/stream")


def log_stream_routes(logs: LogService, feeds: LogFeeds) -> list[Route]:
    """The streams of logs."""
    return [
        Route(LOG_STREAM_PATH, create_log_stream(logs, feeds), methods=["GET"]),
        Route(OWN_LOG_STREAM_PATH, create_own_log_stream(logs, feeds), methods=["GET"]),
    ]


def log_stream_at(path: str) -> str | None:
    """The route of the stream at this path, as log lines and metrics name routes; None when there is none."""
    if path == OWN_LOG_STREAM_PATH:
        return path
    return LOG_STREAM_PATH.replace("{", "<").replace("}", ">") if _LOG_STREAM.fullmatch(path) else None


def create_log_stream(logs: LogService, feeds: LogFeeds) -> Endpoint:
    """The endpoint of `/training/{task_id}/logs/stream`: the log as it grows, and how the task ended."""

    async def stream(request: Request) -> Response:
        query = parse_follow_query(request)
        source = await asyncio.to_thread(logs.find, request.path_params["task_id"])
        return _respond(feeds, source, query)

    return stream


def create_own_log_stream(logs: LogService, feeds: LogFeeds) -> Endpoint:
    """The endpoint of `/system/logs/stream`: the server's own log as it grows."""

    async def stream(request: Request) -> Response:
        return _respond(feeds, logs.own, parse_follow_query(request))

    return stream


def _respond(feeds: LogFeeds, source: LogSource, query: FollowQuery) -> Response:
    response = EventSourceResponse(
        _events(feeds, source, query),
        ping=HEARTBEAT_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(comment="heartbeat"),
        send_timeout=SEND_SECONDS,
        sep="\n",
    )
    # Whether the connection is kept is the server's to say.
    del response.headers["Connection"]
    return response


async def _events(feeds: LogFeeds, source: LogSource, query: FollowQuery) -> AsyncIterator[bytes]:
    async with feeds.follow(source, query.start, query.wanted) as follower:
        async for batch in follower:
            yield frame(batch)
        if follower.was_cut_off:
            yield b"event: closing\ndata: %b\n\n" % encode_json({"reason": "server_ending"})


def frame(batch: LogBatch) -> bytes:
    """The event around a batch. An unfinished line has no id: its reader is still before it."""
    if batch.kind == "partial":
        return b"data: %b\n\n" % batch.json
    if batch.kind == "end":
        return b"id: %d\nevent: end\ndata: %b\n\n" % (batch.next_offset, batch.json)
    return b"id: %d\ndata: %b\n\n" % (batch.next_offset, batch.json)
