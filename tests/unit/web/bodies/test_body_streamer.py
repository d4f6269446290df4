import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from api.domain.access.principal import LOCAL, Credential, Principal, Role
from api.errors import RequestTimeout, Unavailable
from api.util.http.caller import REQUEST_PRINCIPAL
from api.web.bodies import body_streamer
from api.web.bodies.body_streamer import PART_BYTES, BodyStreamer, DiskThreads, sender_of
from api.web.reply import ClientGone

LAST: dict[str, Any] = {"type": "http.request", "body": b"", "more_body": False}


def message(body: bytes) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": True}


async def pour_all(
    messages: Iterable[dict[str, Any]], take: Any, body_streamer: BodyStreamer | None = None, sender: str = "ann"
) -> None:
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        found = next(waiting, None)
        if found is None:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return found or {}

    await (body_streamer or BodyStreamer(DiskThreads())).stream(receive, take, sender)


def stream(messages: Iterable[dict[str, Any]], take: Any) -> None:
    asyncio.run(pour_all(messages, take))


def test_body_is_passed_on_in_large_parts_in_order():
    taken: list[bytes] = []
    sent = [bytes([number % 256]) * 100_000 for number in range(50)]
    stream([*map(message, sent), LAST], lambda part: taken.append(bytes(part)))
    assert b"".join(taken) == b"".join(sent)
    assert [len(part) >= PART_BYTES for part in taken] == [True] * (len(taken) - 1) + [False]


def test_bytes_before_a_disconnect_are_passed_on():
    taken = bytearray()
    with pytest.raises(ClientGone):
        stream([message(b"abc"), {"type": "http.disconnect"}], taken.extend)
    assert taken == b"abc"


def test_silent_client_is_ended_and_its_bytes_are_passed_on():
    taken = bytearray()
    with patch.object(body_streamer, "IDLE_SECONDS", 0.05), pytest.raises(RequestTimeout):
        stream([message(b"abc")], taken.extend)
    assert taken == b"abc"


def test_no_part_is_written_after_a_failed_one():
    taken: list[int] = []

    def take(part: bytearray) -> None:
        taken.append(len(part))
        raise OSError(28, "full")

    with pytest.raises(OSError, match="full"):
        stream([*(message(bytes(PART_BYTES)) for _ in range(5)), LAST], take)
    assert len(taken) == 1


def test_bodies_beyond_the_limit_are_refused():
    async def both() -> None:
        body_streamer = BodyStreamer(DiskThreads())
        waiting = asyncio.create_task(pour_all([message(b"x")], lambda part: None, body_streamer))
        await asyncio.sleep(0.01)
        with pytest.raises(Unavailable):
            await pour_all([LAST], lambda part: None, body_streamer, "bob")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await pour_all([LAST], lambda part: None, body_streamer)

    with patch.object(body_streamer, "MOST_AT_ONCE", 1):
        asyncio.run(both())


def test_busy_sender_leaves_slots_for_others():
    async def greedy() -> list[int]:
        body_streamer, tasks, counts = BodyStreamer(DiskThreads()), [], []
        for sender in ("ann", "bob", "cyd"):
            taken = 0
            for _ in range(20):
                task = asyncio.create_task(pour_all([message(b"x")], lambda part: None, body_streamer, sender))
                await asyncio.sleep(0)
                if task.done():
                    assert "uploads in progress" in str(task.exception())
                else:
                    taken += 1
                    tasks.append(task)
            counts.append(taken)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await pour_all([LAST], lambda part: None, body_streamer)
        assert not body_streamer._held
        return counts

    with patch.object(body_streamer, "MOST_AT_ONCE", 16):
        assert asyncio.run(greedy()) == [8, 4, 2]


def test_sender_is_the_user_or_else_the_address():
    def scope(principal: Principal | None, address: str = "192.0.2.1") -> dict[str, Any]:
        state = {} if principal is None else {REQUEST_PRINCIPAL: principal}
        return {"client": (address, 1), "state": state}

    ann = Principal("ann", Role.TRAINER, frozenset(), Credential.KEY, "k1")
    assert sender_of(scope(ann)) == sender_of(scope(replace(ann, key_id="k2"), "192.0.2.2")) == "user:ann"
    assert sender_of(scope(LOCAL)) == sender_of(scope(None)) == "address:192.0.2.1"
