"""A stream ends with its client's access, on every server and by either transport."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from api.domain.access.principal import AccessKey, Role, Session
from api.util.clock import FakeClock
from api.util.text.key_format import hash_of, new_token
from tests.api.client import Client, failure_of, scope
from tests.api.conftest import TRAINING, MakeWorld, World
from tests.api.streams import (
    BASE,
    EVENTS_SOCKET,
    EVENTS_STREAM,
    GPU_SOCKET,
    GPU_STREAM,
    Event,
    listen,
    task_socket,
    task_stream,
)

SYSTEM_LOG = f"{BASE}/system/logs/stream"


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(auth="required")


def bearer(shown: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {shown}"}


def hear_the_end(
    world: World, path: str, end: Callable[[], object], headers: dict[str, str], query: str = ""
) -> tuple[Event, int | None]:
    """Open a stream, let it end after its first message; return its last message, and the close code of a socket."""

    async def talk() -> tuple[Event, int | None]:
        client = world.client
        async with client.live(), listen(client, path, query, headers) as stream:
            await stream.next()
            end()
            *_, last = await stream.rest()
            return last, getattr(stream, "code", None)

    return world.client.run(talk())


PATHS = [GPU_STREAM, GPU_SOCKET, EVENTS_STREAM, EVENTS_SOCKET, "task stream", "task socket", "task log"]


def address(world: World, path: str) -> str:
    if not path.startswith("task"):
        return path
    task_id = world.signed_in("ann").run()
    world.prints(task_id, "a line\n")
    return {
        "task stream": task_stream(task_id),
        "task socket": task_socket(task_id),
        "task log": f"{TRAINING}/{task_id}/logs/stream",
    }[path]


@pytest.mark.parametrize("path", PATHS)
def test_revoked_key_ends_its_streams(world: World, path: str):
    key, shown = world.make_key("ann", Role.ADMIN)
    path = address(world, path)
    last, code = hear_the_end(world, path, lambda: world.revoke(key), bearer(shown))
    assert (last.type, last.data) == ("closing", {"reason": "access_ended", "code": "key_revoked"})
    assert code == (1008 if "/ws/" in path else None)
    assert world.runtime.live.admission.streams == 0


def test_revocation_on_another_server_ends_streams_here(make_world: MakeWorld, world: World):
    other = make_world(auth="required")
    key, shown = other.make_key("ann")
    world.runtime.access.ring.refresh()

    def end() -> None:
        other.revoke(key)
        world.runtime.access.ring.run_once()

    last, _ = hear_the_end(world, GPU_STREAM, end, bearer(shown))
    assert last.data["code"] == "key_revoked"


def test_expired_key_ends_its_streams(make_world: MakeWorld):
    clock = FakeClock()
    world = make_world(auth="required", clock=clock)
    _, shown = world.make_key("ann", expires_at=clock.now() + timedelta(seconds=30))

    def end() -> None:
        clock.advance(30)
        world.runtime.access.ring.run_once()

    last, _ = hear_the_end(world, GPU_STREAM, end, bearer(shown))
    assert last.data == {"reason": "access_ended", "code": "key_expired"}


def test_other_streams_continue(world: World):
    key, _ = world.make_key("ann")
    headers = world.key("bob")

    async def talk() -> Event | None:
        async with world.client.live(), listen(world.client, GPU_STREAM, headers=headers) as stream:
            await stream.next()
            world.revoke(key)
            world.sweep()
            return await stream.next()

    event = world.client.run(talk())
    assert event is not None
    assert event.type == "snapshot"


# -- sessions ----------------------------------------------------------------------------------------------------------


def sign_in(world: World, key: AccessKey, role: Role = Role.TRAINER) -> tuple[str, dict[str, str]]:
    """Return the hash of a new session, and the headers of the page."""
    cookie, now = new_token(), world.runtime.services.clock.now()
    session = Session(hash_of(cookie), key.user_id, None, role, None, key.key_id, now, now + timedelta(hours=1))
    world.runtime.access.store.add_session(session, session.created_at)
    world.runtime.access.ring.refresh()
    return session.hash, {"Cookie": f"dp_session={cookie}", "Origin": "http://127.0.0.1"}


@pytest.mark.parametrize("path", [GPU_STREAM, GPU_SOCKET])
def test_signing_out_ends_the_streams_of_the_page(world: World, path: str):
    key, _ = world.make_key("ann")
    session, headers = sign_in(world, key)

    def end() -> None:
        world.runtime.access.store.end_session(session)
        world.runtime.access.ring.refresh()

    last, _ = hear_the_end(world, path, end, headers)
    assert last.data == {"reason": "access_ended", "code": "session_ended"}


def test_revoked_key_of_a_session_ends_the_streams_of_the_page(world: World):
    key, _ = world.make_key("ann")
    _, headers = sign_in(world, key)
    last, _ = hear_the_end(world, GPU_STREAM, lambda: world.revoke(key), headers)
    assert last.data["reason"] == "access_ended"


# -- tickets -----------------------------------------------------------------------------------------------------------


def make_ticket(world: World, headers: dict[str, str]) -> str:
    made = world.client.post(f"{BASE}/auth/ticket", headers=headers)
    assert made.status_code == 200, made.text
    ticket: str = made.json()["data"]["ticket"]
    return ticket


async def knock(client: Client, path: str, query: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Return the status of a stream, and the error code if it is not opened."""
    is_socket = "/ws/" in path
    sent = [(b"host", b"127.0.0.1"), *((name.lower().encode(), v.encode()) for name, v in (headers or {}).items())]
    connection_scope = scope("websocket" if is_socket else "http", path, sent, query_string=query.encode())
    async with client.connection(connection_scope) as connection:
        if is_socket:
            await connection.send_message({"type": "websocket.connect"})
        start = await connection.next_message()
        if start.get("status", 200) == 200:
            return 200, ""
        return start["status"], _code_in(await connection.next_message())


def _code_in(part: Any) -> str:
    return str(json.loads(part["body"])["error"]["code"])


@pytest.mark.parametrize("path", [GPU_STREAM, GPU_SOCKET, EVENTS_STREAM])
def test_ticket_opens_one_stream(world: World, path: str):
    ticket = make_ticket(world, world.key("ann"))

    async def talk() -> list[tuple[int, str]]:
        async with world.client.live():
            return [await knock(world.client, path, f"ticket={ticket}") for _ in range(2)]

    assert world.client.run(talk()) == [(200, ""), (401, "wrong_ticket")]


def test_ticket_that_was_used_on_one_server_opens_nothing_on_another(make_world: MakeWorld, world: World):
    other = make_world(auth="required")
    ticket = make_ticket(world, world.key("ann"))

    async def talk(client: Client) -> tuple[int, str]:
        async with client.live():
            return await knock(client, GPU_STREAM, f"ticket={ticket}")

    assert other.client.run(talk(other.client)) == (200, "")
    assert world.client.run(talk(world.client)) == (401, "wrong_ticket")


def test_ticket_that_is_used_concurrently_opens_one_stream(world: World):
    ticket = make_ticket(world, world.key("ann"))

    async def talk() -> list[tuple[int, str]]:
        async with world.client.live():
            return list(await asyncio.gather(*(knock(world.client, GPU_STREAM, f"ticket={ticket}") for _ in range(8))))

    assert sorted(world.client.run(talk())) == [(200, "")] + [(401, "wrong_ticket")] * 7


@pytest.mark.parametrize("path", [f"{BASE}/gpu/status", f"{BASE}/gpu/events", f"{TRAINING}/list", "/nothing"])
def test_ticket_is_invalid_at_any_other_address_and_not_used_up_there(world: World, path: str):
    headers = world.key("ann")
    ticket = make_ticket(world, headers)
    for shown in ({}, headers):
        refused = world.client.get(path, params={"ticket": ticket}, headers=shown)
        assert (refused.status_code, failure_of(refused)["error"]["code"]) == (401, "wrong_ticket")

    async def talk() -> tuple[int, str]:
        async with world.client.live():
            return await knock(world.client, GPU_STREAM, f"ticket={ticket}")

    assert world.client.run(talk()) == (200, "")


def test_ticket_permits_no_more_than_its_key(world: World):
    ticket = make_ticket(world, world.key("vera", Role.VIEWER))
    assert world.client.run(knock(world.client, SYSTEM_LOG, f"ticket={ticket}")) == (403, "forbidden")


def test_stream_by_ticket_ends_with_the_key_of_the_ticket(world: World):
    key, shown = world.make_key("ann")
    ticket = make_ticket(world, bearer(shown))
    last, _ = hear_the_end(world, GPU_STREAM, lambda: world.revoke(key), {}, f"ticket={ticket}")
    assert last.data["code"] == "key_revoked"


def test_ticket_keeps_the_query_of_the_stream(world: World):
    headers = world.key("ann")

    async def talk(query: str) -> tuple[int, str]:
        async with world.client.live():
            return await knock(world.client, EVENTS_STREAM, query)

    assert world.client.run(talk(f"topics=gpu&ticket={make_ticket(world, headers)}")) == (200, "")
    assert world.client.run(talk(f"topic=gpu&ticket={make_ticket(world, headers)}")) == (422, "validation_failed")


# -- limits ------------------------------------------------------------------------------------------------------------


def test_streams_of_a_user_are_limited_over_all_keys(make_world: MakeWorld):
    world = make_world(auth="required", max_streams_per_client=1)
    one, other, bobs = world.key("ann"), world.key("ann"), world.key("bob")

    async def talk() -> list[tuple[int, str]]:
        async with world.client.live(), listen(world.client, GPU_STREAM, headers=one):
            return [await knock(world.client, GPU_STREAM, "", headers) for headers in (other, bobs)]

    assert world.client.run(talk()) == [(503, "too_many_streams"), (200, "")]
