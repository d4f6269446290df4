"""One of two users of a server, and what that user receives."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from tests.api.client import Client, Connection, scope
from tests.api.conftest import World

#: The prefix of every text that only one user may read.
MARK = "MARK"


@dataclass
class User:
    """One of the two users: their secret texts, and their open streams."""

    name: str
    world: World
    mark: str
    ids: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    streams: list[Connection] = field(default_factory=list)

    @property
    def client(self) -> Client:
        return self.world.client

    @property
    def secrets(self) -> list[str]:
        return [self.mark, self.name, *self.ids, *self.datasets]


def neutral(answer: httpx.Response, task_id: str) -> tuple[int, str]:
    """Return what a response contains besides the id, the request id and the time."""
    text = answer.text.replace(task_id, "ID").replace(answer.headers.get("x-request-id", "?"), "REQUEST")
    return answer.status_code, re.sub(r'"(timestamp|request_id)":\s*[^,}]+', "", text)


@asynccontextmanager
async def opened(
    user: User, path: str, query: str = "", headers: dict[str, str] | None = None
) -> AsyncIterator[Connection]:
    """Open a stream, whether it is refused or not."""
    is_socket = "/ws/" in path
    shown = {"host": "127.0.0.1", **user.client._shown, **(headers or {})}
    sent = [(name.lower().encode(), value.encode()) for name, value in shown.items()]
    connection_scope = scope("websocket" if is_socket else "http", path, sent, query_string=query.encode())
    async with user.client.connection(connection_scope) as talk:
        if is_socket:
            await talk.send_message({"type": "websocket.connect"})
        yield talk


async def overheard(user: User, path: str, query: str, headers: dict[str, str]) -> httpx.Response:
    """Return the first messages of a stream as a response."""
    async with opened(user, path, query, headers) as talk:
        start = await talk.next_message()
        await let_run()
        received = []
        while not talk._from_app.empty():
            received.append(talk._from_app.get_nowait())
    text = " ".join(str(each.get("body", b"").decode() or each.get("text", "")) for each in received)
    found = dict(start.get("headers") or [])
    names = {name.decode(): value.decode() for name, value in found.items()}
    return httpx.Response(start.get("status", 101), headers=names, text=text)


async def let_run() -> None:
    """Let all waiting coroutines and reading threads run."""
    for _ in range(4):
        await asyncio.sleep(0)
    await asyncio.sleep(0.002)
