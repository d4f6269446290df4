"""Responses to connected and disconnected clients."""

import asyncio
from typing import Any

import pytest

from api.errors import NotFound
from api.web.reply import ClientGone, Reply


class Line:
    """A connection that is open or closing."""

    def __init__(self, is_closing: bool) -> None:
        self._is_closing = is_closing

    def is_closing(self) -> bool:
        return self._is_closing

    def abort(self) -> None:
        """Do nothing."""

    def get_write_buffer_size(self) -> int:
        return 0


def reply(*, is_closing: bool) -> tuple[Reply, list[dict[str, Any]]]:
    """Return a reply, and the list of sent messages."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    return Reply({"extensions": {"connection": Line(is_closing)}}, send, "r1", []), sent


def test_sending_to_a_disconnected_client_raises():
    made, sent = reply(is_closing=True)
    with pytest.raises(ClientGone):
        asyncio.run(made.send({"type": "http.response.body", "body": b"more", "more_body": True}))
    assert sent == []


def test_failure_is_not_sent_to_a_disconnected_client():
    made, sent = reply(is_closing=True)
    asyncio.run(made.fail(NotFound()))
    assert sent == []


def test_connected_client_gets_its_response():
    made, sent = reply(is_closing=False)
    asyncio.run(made.send_json(b"{}"))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert (b"x-request-id", b"r1") in sent[0]["headers"]
