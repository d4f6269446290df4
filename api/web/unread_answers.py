"""Answers that their clients have not taken yet: bounded over all connections, and ended when they stand still.

What does not fit into a connection at once stays in memory until its client reads it. Each answer is bounded, but
clients may be many; so what they hold together is bounded as well.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from api.errors import Unavailable

logger = logging.getLogger(__name__)

#: Bytes that may wait for their clients, over all connections; answers being worked out meanwhile come on top.
MAX_UNREAD_BYTES = 48 * 1024 * 1024

#: Seconds that a request waits for room before it is refused with 503.
PATIENCE_SECONDS = 10.0

#: Seconds after which a client must have taken something, and bytes a second that it must take in the long run.
STILL_SECONDS = 30.0
SLOWEST_BYTES_A_SECOND = 4 * 1024

#: Seconds that a client has when there is no room for others.
PRESSED_SECONDS = 1.0

# Counting walks over the connections that hold something: so often, at most, in seconds.
_COUNT_SECONDS = 0.05

_NO_ROOM = "More answers wait to be read by their clients than this service holds."


class Connection(Protocol):
    """A client's connection, as far as the shell needs it."""

    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def abort(self) -> None: ...


@dataclass(slots=True)
class _Held:
    since: float
    size: int


class UnreadAnswers:
    """Knows the connections with unread answers, and how much each holds. Lives in the event loop."""

    def __init__(self, limit: int = MAX_UNREAD_BYTES) -> None:
        self._limit = limit
        self._held: dict[Connection, _Held] = {}
        self._bytes = 0
        self._counted_at = float("-inf")

    def add(self, connection: Connection, now: float) -> None:
        """Adds a connection that has more to send than it can at once."""
        size = connection.get_write_buffer_size()
        self._held[connection] = _Held(now, size)
        self._bytes += size

    def remove(self, connection: Connection) -> None:
        """Removes a connection whose client has taken everything, or has gone."""
        if self._held.pop(connection, None) is not None:
            self._counted_at = float("-inf")

    def count(self, now: float) -> int:
        """Bytes that wait now, as counted at most 0.05 s ago."""
        if now - self._counted_at > _COUNT_SECONDS:
            self._bytes = sum(connection.get_write_buffer_size() for connection in self._held)
            self._counted_at = now
        return self._bytes

    async def wait_for_room(self) -> None:
        """Waits until another answer may be worked out. Raises Unavailable when that takes too long."""
        if not self._held:
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_SECONDS
        while self.count(loop.time()) >= self._limit:
            self._make_room(loop.time())
            if loop.time() > end:
                raise Unavailable(_NO_ROOM, headers={"Retry-After": "10"})
            await asyncio.sleep(_COUNT_SECONDS)

    def end_slow(self, now: float) -> None:
        """Ends the connections of clients that take nothing, or too little."""
        for connection, held in list(self._held.items()):
            seconds = now - held.since
            taken = held.size - connection.get_write_buffer_size()
            if seconds > STILL_SECONDS and taken < seconds * SLOWEST_BYTES_A_SECOND:
                self._end(connection)

    def _make_room(self, now: float) -> None:
        # Who holds most goes first: others must not pay for it.
        late = [connection for connection, held in self._held.items() if now - held.since > PRESSED_SECONDS]
        for connection in sorted(late, key=lambda one: one.get_write_buffer_size(), reverse=True):
            if self.count(now) < self._limit:
                break
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        logger.info("connection ended: its client does not read what it asked for")
        self.remove(connection)
        connection.abort()
