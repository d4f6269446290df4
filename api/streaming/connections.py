"""Serves the live streams: admits, opens, sends, and cuts those off who do not read."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Receive, Scope, Send

from api.domain.access import current_principal
from api.streaming.addresses import LiveRoutes, MatchedRoute, Transport
from api.streaming.admission import Admission
from api.streaming.broker import Broker
from api.streaming.delivery import FAREWELL_SECONDS
from api.streaming.permits import Farewell, Permits
from api.streaming.sse import send_events
from api.streaming.subscription import TooSlow
from api.streaming.websocket import send_texts
from api.util.caller import address_of_caller

logger = logging.getLogger(__name__)

#: The longest Last-Event-ID that can be one of ours.
_LONGEST_ID = 200


class LiveServing:
    """All streams of this process."""

    def __init__(self, routes: LiveRoutes, broker: Broker, admission: Admission, permits: Permits) -> None:
        self._routes = routes
        self._broker = broker
        self._admission = admission
        self._permits = permits

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sets the event loop."""
        self._broker.attach(loop)
        self._permits.attach(loop)

    def find_events(self, path: str) -> MatchedRoute | None:
        """The stream of Server-Sent Events at this path; None when there is none."""
        return self._routes.find(Transport.EVENTS, path)

    def find_socket(self, path: str) -> MatchedRoute | None:
        """The WebSocket at this path; None when there is none."""
        return self._routes.find(Transport.WEB_SOCKET, path)

    def has(self, path: str) -> bool:
        """Whether there is a stream at this path, by whichever transport."""
        return self.find_events(path) is not None or self.find_socket(path) is not None

    async def send_events(self, found: MatchedRoute, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers with a stream. Raises what is wrong with the request before anything is sent."""
        self._broker.require_open()
        last_id = next((value for name, value in scope["headers"] if name == b"last-event-id"), b"")
        with self._admit(scope) as farewell:
            try:
                async with found.open(_query(scope), last_id.decode("latin-1")[:_LONGEST_ID] or None) as frames:
                    await send_events(frames, receive, send, farewell, is_head=scope["method"] == "HEAD")
            except TooSlow:
                self._cut(scope, farewell)

    async def send_texts(self, found: MatchedRoute, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a WebSocket. Raises what is wrong with the request before the client is let in."""
        self._broker.require_open()
        with self._admit(scope) as farewell:
            try:
                async with found.open(_query(scope), None) as frames:
                    await send_texts(frames, receive, send, farewell)
            except TooSlow:
                # The server closes the connection, and the kernel ends it.
                self._cut(scope, farewell)

    @contextmanager
    def _admit(self, scope: Scope) -> Iterator[Farewell]:
        """Counts a stream within the `with` block: for who asks, or where nobody is asked for that, for the address."""
        principal = current_principal.get()
        with self._admission.admit(principal.owner or address_of_caller(scope)), self._permits.hold(principal) as held:
            yield held

    def _cut(self, scope: Scope, farewell: Farewell) -> None:
        logger.info("subscriber dropped: it has stopped reading", extra={"client": address_of_caller(scope)})
        connection = scope.get("extensions", {}).get("connection")
        if connection is not None:
            # What was said last may still be on its way.
            seconds = 0.0 if farewell.done() else FAREWELL_SECONDS
            asyncio.get_running_loop().call_later(seconds, connection.abort)


def _query(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    return query.decode("latin-1")
