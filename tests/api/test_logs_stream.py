"""Following logs by HTTP."""

import json
from typing import Any

import pytest

from tests.api.client import Connection, failure_of, scope
from tests.api.conftest import COMPLETED, TRAINING, World
from tests.api.logs import CONTENT, LINES, run_with_log, write


@pytest.fixture
def task_id(world: World) -> str:
    return run_with_log(world)


async def next_event(connection: Connection) -> dict[str, Any]:
    while True:
        body = (await connection.hear()).get("body", b"").decode()
        if "data: " in body:
            fields = dict(line.split(": ", 1) for line in body.strip().split("\n"))
            return {**fields, "data": json.loads(fields["data"])}


def test_stream_sends_the_growing_log_and_how_the_task_ended(world: World, task_id: str):
    client = world.client

    async def talk() -> list[dict[str, Any]]:
        path = f"{TRAINING}/{task_id}/logs/stream"
        async with client.live(), client.connection(scope("http", path, query_string=b"tail=1")) as connection:
            start = await connection.hear()
            assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
            seen = [await next_event(connection)]
            write(world, task_id, b"more\n")
            seen.append(await next_event(connection))
            world.executor.ends(uid, world.outcome_with_checkpoint(task_id, COMPLETED))
            world.train()
            return [*seen, await next_event(connection)]

    uid = world.uid(task_id)
    first, second, end = client.run(talk())
    assert [line["message"] for line in first["data"]["data"]["logs"]] == [LINES[-1]]
    assert [line["message"] for line in second["data"]["data"]["logs"]] == ["more"]
    assert (first["id"], second["id"], end["id"]) == (str(len(CONTENT)), *[str(len(CONTENT) + 5)] * 2)
    assert end["event"] == "end"
    assert end["data"]["data"] == {
        "task_id": task_id,
        "status": "completed",
        "failure": None,
        "exit_code": 0,
        "next_offset": len(CONTENT) + 5,
    }


@pytest.mark.parametrize("query", [b"", b"offset=0"])
def test_last_event_id_takes_precedence_over_the_query(world: World, query: bytes):
    task_id = world.run()
    write(world, task_id, CONTENT)
    world.end(task_id)
    seen_to = len(CONTENT) - len(LINES[-1]) - 1
    headers = [(b"host", b"127.0.0.1"), (b"last-event-id", b"%d" % seen_to)]

    async def talk() -> list[dict[str, Any]]:
        path = f"{TRAINING}/{task_id}/logs/stream"
        async with world.client.connection(scope("http", path, headers, query_string=query)) as connection:
            return [await next_event(connection) for _ in range(2)]

    line, end = world.client.run(talk())
    assert [each["message"] for each in line["data"]["data"]["logs"]] == [LINES[-1]]
    assert end["event"] == "end"


@pytest.mark.parametrize(
    ("query", "pointers"),
    [("offset=x&level=loud&foo=1", {"/offset", "/level", "/foo"}), ("tail=1&offset=1", {""}), ("type=a", {"/type"})],
)
def test_invalid_request_of_a_stream_is_rejected(world: World, task_id: str, query: str, pointers: set[str]):
    answer = world.client.get(f"{TRAINING}/{task_id}/logs/stream?{query}")
    assert answer.status_code == 422
    assert {mistake["pointer"] for mistake in failure_of(answer)["error"]["errors"]} == pointers


def test_head_of_a_stream_ends(world: World, task_id: str):
    async def talk() -> list[dict[str, Any]]:
        connection_scope = scope("http", f"{TRAINING}/{task_id}/logs/stream", method="HEAD")
        async with world.client.live(), world.client.connection(connection_scope) as connection:
            received = [await connection.hear()]
            while received[-1]["type"] == "http.response.start" or received[-1].get("more_body"):
                received.append(await connection.hear())
                assert len(received) < 3, "a HEAD is answered with events"
            return received

    start, end = world.client.run(talk())
    assert (start["status"], end.get("body", b"")) == (200, b"")


def test_streams_end_with_the_server_and_say_so(world: World, task_id: str):
    client = world.client

    async def talk() -> dict[str, Any]:
        path = f"{TRAINING}/{task_id}/logs/stream"
        async with client.live(), client.connection(scope("http", path)) as connection:
            event = await next_event(connection)
            world.runtime.live.close_soon()
            while "event" not in event:
                event = await next_event(connection)
            return event

    closing = client.run(talk())
    assert (closing["event"], closing["data"]["data"]) == ("closing", {"reason": "server_ending"})
