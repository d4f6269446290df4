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
        body = (await connection.next_message()).get("body", b"").decode()
        if "data: " in body:
            fields = dict(line.split(": ", 1) for line in body.strip().split("\n"))
            return {**fields, "data": json.loads(fields["data"])}


def test_stream_sends_the_growing_log_and_how_the_task_ended(world: World, task_id: str):
    client = world.client

    async def talk() -> list[dict[str, Any]]:
        path = f"{TRAINING}/{task_id}/logs/stream"
        async with client.live(), client.connection(scope("http", path, query_string=b"tail=1")) as connection:
            start = await connection.next_message()
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


@pytest.mark.parametrize(
    ("query", "pointers"),
    [("offset=x&level=loud&foo=1", {"/offset", "/level", "/foo"}), ("tail=1&offset=1", {""}), ("type=a", {"/type"})],
)
def test_invalid_request_of_a_stream_is_rejected(world: World, task_id: str, query: str, pointers: set[str]):
    answer = world.client.get(f"{TRAINING}/{task_id}/logs/stream?{query}")
    assert answer.status_code == 422
    assert {mistake["pointer"] for mistake in failure_of(answer)["error"]["errors"]} == pointers


def test_streams_end_with_the_server(world: World, task_id: str):
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
