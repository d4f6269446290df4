"""Streams about trainings send what the routes show. For the order see tests/unit/events."""

import json
from typing import Any

import pytest

from api.events.publisher import LOOK_SECONDS, FakeMessageSink
from api.streaming.models import Message
from api.util.clock import FakeClock
from tests.api.conftest import MakeWorld, World


class NewsCollector:
    """A server that collects its news in a list."""

    def __init__(self, world: World, clock: FakeClock) -> None:
        self.world = world
        self.clock = clock
        self.outlet = FakeMessageSink()
        self.news = world.runtime.live.news
        self.news._messages.outlet = self.outlet

    def round(self, seconds: float = 0.0) -> list[Message]:
        """Return the messages of a round this many seconds later."""
        self.clock.advance(seconds)
        self.outlet.messages.clear()
        self.news.run_once()
        return [*self.outlet.messages]


def data(message: Message) -> Any:
    return json.loads(message.json)["data"]


@pytest.fixture
def news(make_world: MakeWorld, clock: FakeClock) -> NewsCollector:
    return NewsCollector(make_world(clock=clock), clock)


def test_event_in_the_stream_equals_that_of_the_route(news: NewsCollector):
    task_id = news.world.start()
    shown = news.world.client.data(f"/api/v1/training/{task_id}/events")["events"][0]
    message = news.round()[0]
    assert data(message)["event"] == {name: value for name, value in shown.items() if name != "task_id"}


def test_progress_in_the_stream_equals_that_of_the_route(news: NewsCollector):
    task_id = news.world.run()
    message = next(message for message in news.round() if message.type == "progress")
    assert data(message) == news.world.client.data(f"/api/v1/training/{task_id}/progress")


def test_messages_contain_no_secrets(news: NewsCollector):
    news.world.run(config_toml=None, env={"HF_TOKEN": "hf_" + "s3cret" * 6})
    assert not any(b"s3cret" in message.json for message in news.round(LOOK_SECONDS))
