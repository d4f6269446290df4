"""The stream of all topics, by both transports."""

from typing import Any

import pytest

from api.domain.tasks.training import TrainingRequest
from api.events.messages import system_message
from api.executors.fake import outcome
from tests.api.conftest import MakeWorld, World
from tests.api.streams import EVENTS_SOCKET, EVENTS_STREAM, listen, refusal

FAILED = outcome(exit_code=1)

BOTH = pytest.mark.parametrize("path", [EVENTS_STREAM, EVENTS_SOCKET])


@BOTH
def test_stream_starts_with_the_current_state_and_continues(world: World, path: str):
    client, task_id = world.client, world.run()
    world.publish_news()

    async def talk() -> Any:
        async with client.live(), listen(client, path) as stream:
            first = {event.type: event for event in [await stream.next(), await stream.next()] if event is not None}
            world.executor.ends(f"{task_id}.1", FAILED)
            world.train()
            world.publish_news()
            return first, [await stream.until("progress"), await stream.until("status")]

    first, (after, ended) = world.client.run(talk())
    assert first.keys() == {"snapshot", "progress"}
    assert first["progress"].data["task_id"] == task_id
    assert first["progress"].data["status"] == "running"
    assert (after.type, after.data["status"]) == ("progress", "failed")
    assert (ended.data["status"], ended.data["event"]["current"]) == ("failed", "failed")
    assert ended.data["event"].keys() == {
        "id",
        "type",
        "previous",
        "current",
        "actor",
        "message",
        "message_code",
        "attempt",
        "details",
        "timestamp",
    }


def submit(world: World) -> str:
    """Create a task without a request, since the event loop is in use."""
    return world.runtime.services.training.service.start(TrainingRequest("toy", config={"epochs": 3}), "api").task_id


def say(world: World, text: str) -> None:
    world.runtime.live.outlet.publish(system_message("info", text, world.runtime.services.clock.now()))


def test_header_of_event_source_is_the_id(world: World):
    client = world.client

    async def talk() -> Any:
        async with client.live():
            async with listen(client, EVENTS_STREAM, "topics=system") as stream:
                say(world, "1")
                last = (await stream.until("system")).id
            say(world, "2")
            async with listen(client, EVENTS_STREAM, "topics=system", {"Last-Event-ID": str(last)}) as stream:
                return await stream.next()

    assert client.run(talk()).data["message"] == "2"


@BOTH
@pytest.mark.parametrize("last_id", ["abc", "0-0", "-1", "99999999999999999999", "x" * 4000, "%F0%9F%92%A9"])
def test_unknown_id_gets_a_reset_and_the_current_state(shared_world: World, path: str, last_id: str):
    shared_client = shared_world.client

    async def talk() -> Any:
        async with shared_client.live(), listen(shared_client, path, f"topics=gpu&last_event_id={last_id}") as stream:
            return await stream.next(), await stream.next()

    reset, now = shared_client.run(talk())
    assert (reset.type, reset.id, now.type) == ("reset", None, "snapshot")
    assert now.id


@BOTH
def test_all_mistakes_are_reported_together(world: World, path: str):
    status, envelope = refusal(world.client, path, "topics=gpu,pigs&topic=x")
    assert (status, envelope["error"]["code"]) == (422, "validation_failed")
    assert {mistake["pointer"] for mistake in envelope["error"]["errors"]} == {"/topics", "/topic"}


def test_head_is_answered_without_events(world: World):
    answer = world.client.ask("HEAD", EVENTS_STREAM)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_error_may_be_read_by_an_allowed_origin(make_world: MakeWorld):
    client = make_world(cors_origins=("https://dashboard.example",)).client
    answer = client.get(f"{EVENTS_STREAM}?topics=x", headers={"Origin": "https://dashboard.example"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (422, "https://dashboard.example")


def test_unencoded_query_is_malformed(world: World):
    answer = world.client.raw("GET", EVENTS_STREAM, [(b"host", b"127.0.0.1")], query=b"topics=\xff")
    assert answer.status_code == 400


def test_route_is_counted_under_its_pattern(world: World):
    world.client.get("/api/v1/training/train_1/events/stream")
    world.client.ask("HEAD", EVENTS_STREAM)
    world.runtime.access_log.flush()
    world.sweep()
    text = world.client.get("/metrics").text
    assert 'route="/api/v1/training/<task_id>/events/stream",status="404"' in text
    assert 'method="HEAD",route="/api/v1/events/stream",status="200"' in text
    assert "train_1" not in text
