"""Responses that clients have not read: bounded over all connections, and ended if a client is too slow.

The part of a response that does not fit into the socket's buffer stays in memory until its client reads it. Each
response is bounded, but there may be many clients, so their sum is bounded as well.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from api.errors import Unavailable

logger = logging.getLogger(__name__)

#: Bytes of unread responses over all connections; responses in progress come on top.
MAX_UNREAD_BYTES = 48 * 1024 * 1024

#: Seconds that a request waits for memory before it is rejected with 503.
PATIENCE_SECONDS = 10.0

#: Seconds within which a client must have read something, and the bytes per second that it must read on average.
IDLE_SECONDS = 30.0
MIN_BYTES_PER_SECOND = 4 * 1024

#: Seconds that a client has when the limit is reached.
PRESSURE_SECONDS = 1.0

# The count iterates over the connections; this is the shortest time between two counts, in seconds.
_COUNT_SECONDS = 0.05

_NO_ROOM = "Too many responses wait to be read by their clients. Try again later."


class Connection(Protocol):
    """A client's connection."""

    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def abort(self) -> None: ...


@dataclass(slots=True)
class _Held:
    since: float
    size: int


class UnreadResponses:
    """The connections with unread responses, and the bytes of each. Used from the event loop only."""

    def __init__(self, limit: int = MAX_UNREAD_BYTES) -> None:
        self._limit = limit
        self._held: dict[Connection, _Held] = {}
        self._bytes = 0
        self._counted_at = float("-inf")

    def add(self, connection: Connection, now: float) -> None:
        """Add a connection whose buffer is full."""
        size = connection.get_write_buffer_size()
        self._held[connection] = _Held(now, size)
        self._bytes += size

    def remove(self, connection: Connection) -> None:
        """Remove a connection that is closed or whose client has read everything."""
        if self._held.pop(connection, None) is not None:
            self._counted_at = float("-inf")

    def count(self, now: float) -> int:
        """Return the unread bytes, counted at most 0.05 s ago."""
        if now - self._counted_at > _COUNT_SECONDS:
            self._bytes = sum(connection.get_write_buffer_size() for connection in self._held)
            self._counted_at = now
        return self._bytes

    async def wait_for_memory(self) -> None:
        """Wait until memory for another response is available. Raises Unavailable after PATIENCE_SECONDS."""
        if not self._held:
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_SECONDS
        while self.count(loop.time()) >= self._limit:
            self._free_memory(loop.time())
            if loop.time() > end:
                raise Unavailable(_NO_ROOM, headers={"Retry-After": "10"})
            await asyncio.sleep(_COUNT_SECONDS)

    def close_slow(self, now: float) -> None:
        """Close the connections of clients that read nothing or too slowly."""
        for connection, held in list(self._held.items()):
            seconds = now - held.since
            taken = held.size - connection.get_write_buffer_size()
            if seconds > IDLE_SECONDS and taken < seconds * MIN_BYTES_PER_SECOND:
                self._end(connection)

    def _free_memory(self, now: float) -> None:
        # The largest first, so that other clients are not affected.
        late = [connection for connection, held in self._held.items() if now - held.since > PRESSURE_SECONDS]
        for connection in sorted(late, key=lambda one: one.get_write_buffer_size(), reverse=True):
            if self.count(now) < self._limit:
                break
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        logger.info("connection closed: the client does not read its response")
        self.remove(connection)
        connection.abort()
