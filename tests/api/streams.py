"""Streams as their clients receive them, in process."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.api.client import Client, Connection, scope

BASE = "/api/v1"
GPU_STREAM, GPU_SOCKET = f"{BASE}/gpu/stream", f"{BASE}/ws/gpu"
EVENTS_STREAM, EVENTS_SOCKET = f"{BASE}/events/stream", f"{BASE}/ws/events"


def task_stream(task_id: str) -> str:
    return f"{BASE}/training/{task_id}/events/stream"


def task_socket(task_id: str) -> str:
    return f"{BASE}/ws/training/{task_id}"


@dataclass(frozen=True)
class Event:
    """One message; with Server-Sent Events `name` and `id` are beside its JSON."""

    id: str | None
    name: str | None
    message: dict[str, Any]

    @property
    def type(self) -> str:
        return str(self.message["type"])

    @property
    def data(self) -> Any:
        return self.message["data"]


class Stream:
    """A stream of either transport."""

    def __init__(self, connection: Connection, is_socket: bool) -> None:
        self._connection = connection
        self._is_socket = is_socket
        self._parts: list[bytes] = []

    async def next(self) -> Event | None:
        """Return the next message; None at the end of the stream."""
        while not self._parts:
            received = await self._connection.next_message()
            if self._is_socket:
                return self._of_text(received)
            if not received.get("more_body", False):
                return None
            assert received["body"].endswith(b"\n\n")
            self._parts += [part for part in received["body"].split(b"\n\n") if part and not part.startswith(b":")]
        return _parse(self._parts.pop(0))

    def _of_text(self, received: dict[str, Any]) -> Event | None:
        if received["type"] == "websocket.close":
            self.code = received["code"]
            return None
        message = json.loads(received["text"])
        return Event(message.get("id"), None, message)

    async def until(self, *types: str) -> Event:
        """Return the first message of one of these types."""
        while (event := await self.next()) is not None:
            if event.type in types:
                return event
        raise AssertionError(f"it ended without {types}")

    async def rest(self) -> list[Event]:
        """Return all messages until the end."""
        events = []
        while (event := await self.next()) is not None:
            events.append(event)
        return events


def _parse(body: bytes) -> Event:
    fields = dict(line.split(": ", 1) for line in body.decode().strip().split("\n"))
    return Event(fields.get("id"), fields.get("event"), json.loads(fields["data"]))


@asynccontextmanager
async def listen(
    client: Client, path: str, query: str = "", headers: dict[str, str] | None = None
) -> AsyncIterator[Stream]:
    """Open a stream; a path with /ws/ is a WebSocket. The client must be live."""
    is_socket = "/ws/" in path
    sent = [(b"host", b"127.0.0.1"), *((n.lower().encode(), v.encode()) for n, v in (headers or {}).items())]
    connection_scope = scope("websocket" if is_socket else "http", path, sent, query_string=query.encode())
    async with client.connection(connection_scope) as connection:
        if is_socket:
            await connection.send_message({"type": "websocket.connect"})
        start = await connection.next_message()
        assert start["type"] == ("websocket.accept" if is_socket else "http.response.start"), start
        assert is_socket or start["status"] == 200, start
        yield Stream(connection, is_socket)


def refusal(client: Client, path: str, query: str = "") -> tuple[int, dict[str, Any]]:
    """Return status and envelope of a stream that is refused."""

    async def talk() -> tuple[int, dict[str, Any]]:
        is_socket = "/ws/" in path
        connection_scope = scope("websocket" if is_socket else "http", path, query_string=query.encode())
        async with client.connection(connection_scope) as connection:
            if is_socket:
                await connection.send_message({"type": "websocket.connect"})
            start = await connection.next_message()
            body = await connection.next_message()
            return start["status"], json.loads(body["body"])

    return client.run(talk())
