"""Streams by Server-Sent Events."""

import asyncio
from collections.abc import Sequence
from typing import Any

from api.streaming.connections import send_events
from api.streaming.delivery import Frames
from api.streaming.frames import Frame
from api.streaming.models import MessageType

ONE = Frame(MessageType.SYSTEM, b'{"a":1}', "1")
END = Frame(MessageType.END, b"{}", "2")


class Client:
    """A client that may disconnect."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.left = asyncio.Event()

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    async def receive(self) -> Any:
        await self.left.wait()
        return {"type": "http.disconnect"}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages[1:])


async def frames(*some: Sequence[Frame]) -> Frames:
    for each in some:
        yield each


async def endless() -> Frames:
    yield [ONE]
    await asyncio.sleep(60)


def serve(client: Client, made: Frames, *, is_head: bool = False) -> None:
    async def scene() -> None:
        await send_events(made, client.receive, client.send, is_head=is_head)

    asyncio.run(asyncio.wait_for(scene(), 5))


def test_events_are_sent_until_the_end():
    client = Client()
    serve(client, frames([ONE, ONE], [END]))
    headers = dict(client.messages[0]["headers"])
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert (headers[b"connection"], headers[b"cache-control"]) == (b"close", b"no-store")
    assert client.body == b'id: 1\ndata: {"a":1}\n\n' * 2 + b"event: end\nid: 2\ndata: {}\n\n"
    assert client.messages[-1]["more_body"] is False


def test_messages_that_arrive_together_are_sent_together():
    client = Client()
    serve(client, frames([ONE, ONE]))
    assert len(client.messages) == 3


def test_head_has_only_the_headers():
    client = Client()
    serve(client, frames([ONE]), is_head=True)
    assert (client.body, dict(client.messages[0]["headers"]).get(b"connection")) == (b"", None)


def test_nothing_is_sent_to_a_client_that_has_left():
    async def scene() -> Client:
        client = Client()
        serving = asyncio.create_task(send_events(endless(), client.receive, client.send, is_head=False))
        while len(client.messages) < 2:
            await asyncio.sleep(0)
        client.left.set()
        await serving
        return client

    client = asyncio.run(asyncio.wait_for(scene(), 5))
    assert client.messages[-1]["more_body"] is True
