import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from api.domain.access import LOCAL, Credential, Principal, Role
from api.errors import RequestTimeout, Unavailable
from api.util.caller import REQUEST_PRINCIPAL
from api.web import pouring
from api.web.pouring import PART_BYTES, DiskThreads, Pourer, sender_of
from api.web.reply import ClientGone

LAST: dict[str, Any] = {"type": "http.request", "body": b"", "more_body": False}


def message(body: bytes) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": True}


async def pour_all(
    messages: Iterable[dict[str, Any]], take: Any, pourer: Pourer | None = None, sender: str = "ann"
) -> None:
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        found = next(waiting, None)
        if found is None:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return found or {}

    await (pourer or Pourer(DiskThreads())).pour(receive, take, sender)


def pour(messages: Iterable[dict[str, Any]], take: Any) -> None:
    asyncio.run(pour_all(messages, take))


def test_a_body_is_handed_on_in_large_parts_in_its_order():
    taken: list[bytes] = []
    sent = [bytes([number % 256]) * 100_000 for number in range(50)]
    pour([*map(message, sent), LAST], lambda part: taken.append(bytes(part)))
    assert b"".join(taken) == b"".join(sent)
    assert [len(part) >= PART_BYTES for part in taken] == [True] * (len(taken) - 1) + [False]


def test_what_came_before_the_client_left_is_handed_on():
    taken = bytearray()
    with pytest.raises(ClientGone):
        pour([message(b"abc"), {"type": "http.disconnect"}], taken.extend)
    assert taken == b"abc"


def test_a_client_that_falls_silent_is_ended_and_what_came_is_handed_on():
    taken = bytearray()
    with patch.object(pouring, "STILL_SECONDS", 0.05), pytest.raises(RequestTimeout):
        pour([message(b"abc")], taken.extend)
    assert taken == b"abc"


def test_after_a_part_that_could_not_be_written_no_other_is():
    taken: list[int] = []

    def take(part: bytearray) -> None:
        taken.append(len(part))
        raise OSError(28, "full")

    with pytest.raises(OSError, match="full"):
        pour([*(message(bytes(PART_BYTES)) for _ in range(5)), LAST], take)
    assert len(taken) == 1


def test_more_bodies_than_may_come_in_at_a_time_are_refused():
    async def both() -> None:
        pourer = Pourer(DiskThreads())
        waiting = asyncio.create_task(pour_all([message(b"x")], lambda part: None, pourer))
        await asyncio.sleep(0.01)
        with pytest.raises(Unavailable):
            await pour_all([LAST], lambda part: None, pourer, "bob")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await pour_all([LAST], lambda part: None, pourer)

    with patch.object(pouring, "MOST_AT_ONCE", 1):
        asyncio.run(both())


def test_who_sends_much_leaves_places_for_others():
    async def greedy() -> list[int]:
        pourer, tasks, counts = Pourer(DiskThreads()), [], []
        for sender in ("ann", "bob", "cyd"):
            taken = 0
            for _ in range(20):
                task = asyncio.create_task(pour_all([message(b"x")], lambda part: None, pourer, sender))
                await asyncio.sleep(0)
                if task.done():
                    assert "the places left are for others" in str(task.exception())
                else:
                    taken += 1
                    tasks.append(task)
            counts.append(taken)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await pour_all([LAST], lambda part: None, pourer)
        assert not pourer._held
        return counts

    with patch.object(pouring, "MOST_AT_ONCE", 16):
        assert asyncio.run(greedy()) == [8, 4, 2]


def test_the_keys_of_a_user_are_one_sender_and_where_nobody_is_known_each_address():
    def scope(principal: Principal | None, address: str = "192.0.2.1") -> dict[str, Any]:
        state = {} if principal is None else {REQUEST_PRINCIPAL: principal}
        return {"client": (address, 1), "state": state}

    ann = Principal("ann", Role.TRAINER, frozenset(), Credential.KEY, "k1")
    assert sender_of(scope(ann)) == sender_of(scope(replace(ann, key_id="k2"), "192.0.2.2")) == "user:ann"
    assert sender_of(scope(LOCAL)) == sender_of(scope(None)) == "address:192.0.2.1"
