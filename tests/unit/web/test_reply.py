"""Answers to clients that are there, and to those that are not."""

import asyncio
from typing import Any

import pytest

from api.errors import NotFound
from api.web.reply import ClientGone, Reply


class Line:
    """A connection that is open, or not."""

    def __init__(self, is_closing: bool) -> None:
        self._is_closing = is_closing

    def is_closing(self) -> bool:
        return self._is_closing

    def abort(self) -> None:
        """Nothing is there to be ended."""

    def get_write_buffer_size(self) -> int:
        return 0


def reply(*, is_closing: bool) -> tuple[Reply, list[dict[str, Any]]]:
    """A reply, and what was sent."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    return Reply(send, "r1", [], Line(is_closing)), sent


def test_part_of_an_answer_to_a_client_that_has_gone_is_refused():
    made, sent = reply(is_closing=True)
    with pytest.raises(ClientGone):
        asyncio.run(made.send({"type": "http.response.body", "body": b"more", "more_body": True}))
    assert sent == []


def test_failure_is_not_told_to_a_client_that_has_gone():
    made, sent = reply(is_closing=True)
    asyncio.run(made.fail(NotFound()))
    assert sent == []


def test_client_that_is_there_gets_its_answer():
    made, sent = reply(is_closing=False)
    asyncio.run(made.send_json(b"{}"))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert (b"x-request-id", b"r1") in sent[0]["headers"]
