"""What streams tell of trainings is what the routes show; in which order, tests/unit/events says."""

import json
from typing import Any

import pytest

from api.events.publisher import LOOK_SECONDS, FakeOutlet
from api.streaming.models import Message
from api.util.clock import FakeClock
from tests.api.conftest import MakeWorld, World


class Told:
    """A server whose news go into a list."""

    def __init__(self, world: World, clock: FakeClock) -> None:
        self.world = world
        self.clock = clock
        self.outlet = FakeOutlet()
        self.news = world.runtime.live.news
        self.news._outlet = self.outlet

    def round(self, seconds: float = 0.0) -> list[Message]:
        """What a round tells, so many seconds later."""
        self.clock.advance(seconds)
        self.outlet.messages.clear()
        self.news.run_once()
        return [*self.outlet.messages]


def data(message: Message) -> Any:
    return json.loads(message.json)["data"]


@pytest.fixture
def told(make_world: MakeWorld, clock: FakeClock) -> Told:
    return Told(make_world(clock=clock), clock)


def test_event_is_told_as_the_route_of_events_shows_it(told: Told):
    task_id = told.world.start()
    shown = told.world.client.data(f"/api/v1/training/{task_id}/events")["events"][0]
    message = told.round()[0]
    assert data(message)["event"] == {name: value for name, value in shown.items() if name != "task_id"}


def test_progress_is_what_the_route_shows(told: Told):
    task_id = told.world.run()
    message = next(message for message in told.round() if message.type == "progress")
    assert data(message) == told.world.client.data(f"/api/v1/training/{task_id}/progress")


def test_secrets_are_in_no_message(told: Told):
    told.world.run(config_toml=None, env={"HF_TOKEN": "hf_" + "s3cret" * 6})
    assert not any(b"s3cret" in message.json for message in told.round(LOOK_SECONDS))
