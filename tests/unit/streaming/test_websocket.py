"""Streams by WebSocket."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from api.streaming.connections import send_texts
from api.streaming.delivery import Frames
from api.streaming.frames import Frame, closing_frame
from api.streaming.models import MessageType, StreamEnding

ONE = Frame(MessageType.SYSTEM, b'{"type":"system"}', "1")


class Client:
    """A client that connects and may disconnect at any point."""

    def __init__(self, leaves_after: int = 10**6) -> None:
        self.messages: list[Any] = []
        self.leaves_after = leaves_after
        self._asked = 0

    async def send(self, message: Any) -> None:
        if len(self.messages) >= self.leaves_after:
            raise OSError("gone")
        self.messages.append(message)

    async def receive(self) -> Any:
        self._asked += 1
        if self._asked == 1:
            return {"type": "websocket.connect"}
        if self._asked == 2:
            return {"type": "websocket.receive", "text": "words of no interest"}
        return await asyncio.sleep(60)

    @property
    def texts(self) -> list[Any]:
        return [json.loads(message["text"]) for message in self.messages if message["type"] == "websocket.send"]


async def frames(*some: Sequence[Frame]) -> Frames:
    for each in some:
        yield each


def serve(client: Client, made: Frames) -> None:
    asyncio.run(asyncio.wait_for(send_texts(made, client.receive, client.send), 5))


def test_texts_have_the_id_for_reconnecting():
    client = Client()
    serve(client, frames([ONE], [ONE]))
    assert client.messages[0]["type"] == "websocket.accept"
    assert client.texts == [{"type": "system", "id": "1"}] * 2


def test_messages_of_the_client_are_ignored():
    async def slow_frames() -> Frames:
        yield [ONE]
        await asyncio.sleep(0.01)
        yield [ONE]

    client = Client()
    serve(client, slow_frames())
    assert len(client.texts) == 2


@pytest.mark.parametrize(("last", "code"), [(ONE, 1000), (closing_frame(StreamEnding.SERVER_ENDING), 1001)])
def test_close_code_depends_on_the_last_message(last: Frame, code: int):
    client = Client()
    serve(client, frames([ONE], [last]))
    assert (client.messages[-1]["type"], client.messages[-1]["code"]) == ("websocket.close", code)


@pytest.mark.parametrize("leaves_after", [0, 1, 2])
def test_client_may_disconnect_at_any_point(leaves_after: int):
    client = Client(leaves_after)
    serve(client, frames([ONE], [ONE]))
    assert len(client.messages) == leaves_after
