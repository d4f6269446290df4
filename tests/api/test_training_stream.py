"""The stream of one task through the complete server, by both transports."""

from typing import Any

import pytest

from api.errors import DatabaseUnavailable
from api.executors.fake import outcome
from api.training.records.event_store import EventStore
from tests.api.conftest import World
from tests.api.streams import listen, refusal, task_socket, task_stream

FAILED = outcome(exit_code=1)

BOTH = pytest.mark.parametrize("path_of", [task_stream, task_socket])


@BOTH
def test_stream_follows_a_training_to_its_end(world: World, path_of: Any):
    client, task_id = world.client, world.run()
    world.publish_news()

    async def talk() -> Any:
        async with client.live(), listen(client, path_of(task_id)) as stream:
            first = [await stream.next(), await stream.next()]
            world.prints(task_id, "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 2.0\n")
            world.train()
            world.publish_news()
            metrics = await stream.until("metrics")
            world.executor.ends(f"{task_id}.1", FAILED)
            world.train()
            world.publish_news()
            return first, metrics, await stream.rest()

    first, metrics, rest = client.run(talk())
    assert [event.type for event in first] == ["status", "progress"]
    assert metrics.data["points"][0]["value"] == 0.5
    received = [event.data["status"] for event in rest if event.type in ("status", "end")]
    assert received == ["running", "failed", "failed"]
    end = rest[-1]
    assert (end.data["status"], end.data["exit_code"], end.data["task_id"]) == ("failed", 1, task_id)
    assert "next_offset" in end.data


@BOTH
def test_reconnect_after_a_server_restart_misses_no_event(make_world: Any, path_of: Any):
    before = make_world()
    task_id = before.run()

    async def first() -> Any:
        async with before.client.live(), listen(before.client, path_of(task_id), "types=status") as stream:
            return (await stream.next()).id

    last = before.client.run(first())
    before.end(task_id, FAILED)
    before.runtime.stop()
    after = make_world()

    async def second() -> Any:
        query = f"types=status&last_event_id={last}"
        async with after.client.live(), listen(after.client, path_of(task_id), query) as stream:
            return await stream.rest()

    received = after.client.run(second())
    assert [(event.type, event.data["status"]) for event in received] == [
        ("status", "running"),
        ("status", "failed"),
        ("end", "failed"),
    ]


@BOTH
@pytest.mark.parametrize("task_id", ["train_1", "nobody", "..", "%2e%2e", "a%00b", "-1", "x" * 300, "é"])
def test_unknown_task_is_not_found_in_the_envelope(shared_world: World, path_of: Any, task_id: str):
    status, envelope = refusal(shared_world.client, path_of(task_id))
    assert (status, envelope["code"], envelope["error"]["code"]) == (404, 404, "task_not_found")


@BOTH
def test_all_errors_of_the_query_are_returned_at_once(world: World, path_of: Any):
    status, envelope = refusal(world.client, path_of(world.start()), "types=status,x&tail=-1&offset=y&topics=gpu")
    assert (status, envelope["error"]["code"]) == (422, "validation_failed")
    assert {mistake["pointer"] for mistake in envelope["error"]["errors"]} == {
        "/types",
        "",
        "/tail",
        "/offset",
        "/topics",
    }


@BOTH
def test_unavailable_database_is_503(world: World, path_of: Any, monkeypatch: pytest.MonkeyPatch):
    task_id = world.start()

    def fail(*_: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(EventStore, "position", fail)
    status, envelope = refusal(world.client, path_of(task_id))
    assert (status, envelope["error"]["code"]) == (503, "database_unavailable")


def test_error_in_a_stream_ends_it(world: World, monkeypatch: pytest.MonkeyPatch):
    task_id = world.start()

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("api.events.stream_reader.TaskStreamReader.progress", fail)

    async def talk() -> Any:
        client = world.client
        async with client.live(), listen(client, task_socket(task_id)) as stream:
            return await stream.rest(), stream.code

    events, code = world.client.run(talk())
    assert ([event.type for event in events], code) == (["status"], 1011)


def test_head_request_shows_whether_the_task_exists(world: World):
    assert world.client.ask("HEAD", task_stream(world.start())).status_code == 200
    assert world.client.ask("HEAD", task_stream("train_1")).status_code == 404
