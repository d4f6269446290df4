"""Streams of snapshots by Server-Sent Events and WebSocket, in process."""

import json
from typing import Any

from tests.api.client import Connection, scope
from tests.api.conftest import MakeWorld, World
from tests.api.streams import GPU_SOCKET as SOCKET_PATH
from tests.api.streams import GPU_STREAM as STREAM_PATH
from tests.api.streams import listen


async def next_event(connection: Connection) -> tuple[int, Any]:
    """Return the number and the JSON of the next Server-Sent Event."""
    while True:
        body = (await connection.next_message()).get("body", b"")
        if body.startswith(b"id: "):
            head, data = body.decode().strip().split("\n")
            return int(head.removeprefix("id: ")), json.loads(data.removeprefix("data: "))


def test_stream_starts_with_the_latest_snapshot_and_continues(world: World):
    client = world.client

    async def talk() -> None:
        async with client.live(), client.connection(scope("http", STREAM_PATH)) as connection:
            start = await connection.next_message()
            headers = dict(start["headers"])
            assert start["status"] == 200
            assert headers[b"content-type"].startswith(b"text/event-stream")
            assert headers[b"x-request-id"]
            first, message = await next_event(connection)
            assert message["type"] == "snapshot"
            assert len(message["data"]["gpus"]) == 4
            world.gpus.tasks.register([0], "training", "mine")
            second, message = await next_event(connection)
            assert second == first + 1
            assert message["data"]["gpus"][0]["current_task"]["task_id"] == "mine"

    client.run(talk())


def test_message_of_the_stream_is_the_status(world: World):
    client = world.client
    status = client.data("/api/v1/gpu/status")

    async def talk() -> Any:
        async with client.live(), client.connection(scope("http", STREAM_PATH)) as connection:
            return (await next_event(connection))[1]

    message = client.run(talk())
    assert message["data"] == status
    assert message["timestamp"] == status["timestamp"]


def test_socket_starts_with_the_latest_snapshot_and_continues(world: World):
    client = world.client

    async def talk() -> None:
        async with client.live(), client.connection(scope("websocket", SOCKET_PATH)) as connection:
            await connection.send_message({"type": "websocket.connect"})
            assert (await connection.next_message())["type"] == "websocket.accept"
            first = json.loads((await connection.next_message())["text"])
            assert (first["type"], len(first["data"]["gpus"])) == ("snapshot", 4)
            world.gpus.tasks.register([0], "training", "mine")
            second = json.loads((await connection.next_message())["text"])
            assert second["data"]["gpus"][0]["status"] == "training"

    client.run(talk())


def test_socket_is_closed_with_going_away_when_the_server_ends(world: World):
    client = world.client

    async def talk() -> Any:
        async with client.live(), listen(client, SOCKET_PATH) as stream:
            await stream.next()
            world.runtime.live.broker.close()
            return await stream.rest(), stream.code

    [closing], code = client.run(talk())
    assert (closing.type, closing.data, code) == ("closing", {"reason": "server_ending"}, 1001)


def test_stream_after_the_shutdown_is_unavailable(world: World):
    world.runtime.live.broker.close()
    answer = world.client.get(STREAM_PATH)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"]


def test_stream_above_the_limit_is_rejected(make_world: MakeWorld):
    client = make_world(max_streams_per_client=2).client

    async def talk() -> Any:
        async with client.live(), listen(client, STREAM_PATH), listen(client, SOCKET_PATH):
            answer = await client.send("GET", STREAM_PATH)
        return answer, await client.send("HEAD", STREAM_PATH)

    answer, later = client.run(talk())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_streams")
    assert answer.headers["retry-after"]
    assert later.status_code == 200


def test_socket_above_the_limit_is_rejected_before_it_is_accepted(make_world: MakeWorld):
    client = make_world(max_streams=1).client

    async def talk() -> None:
        async with (
            client.live(),
            listen(client, STREAM_PATH),
            client.connection(scope("websocket", SOCKET_PATH)) as connection,
        ):
            await connection.send_message({"type": "websocket.connect"})
            start = await connection.next_message()
            assert start["status"] == 503
            assert dict(start["headers"])[b"retry-after"]

    client.run(talk())


def test_gpu_stream_ignores_its_query(world: World):
    async def talk() -> None:
        async with world.client.live(), listen(world.client, STREAM_PATH, "t=1") as stream:
            assert await stream.next() is not None

    world.client.run(talk())
