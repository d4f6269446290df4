"""What is told about trainings, and in which order: from the table of events and the training loop."""

import json
from typing import Any

import pytest

from api.errors import DatabaseUnavailable
from api.executors.fake import outcome
from api.models.live import Message
from api.services.events.publisher import LOOK_SECONDS, PROGRESS_SECONDS, FakeOutlet
from api.utils.clock import FakeClock
from tests.api.conftest import MakeWorld, World

FAILED = outcome(exit_code=3)


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

    def run(self) -> str:
        """A task that trains; its way there is told."""
        task_id = self.world.run()
        self.world.prints(task_id, step(1))
        self.world.train()
        self.round()
        return task_id

    def types(self, seconds: float = 0.0) -> list[str]:
        return [message.type.value for message in self.round(seconds)]


def data(message: Message) -> Any:
    return json.loads(message.json)["data"]


def step(number: int, loss: str = "0.5") -> str:
    return f"steps: {number} loss: {loss} iter time (s): 1.0 samples/sec: 2.0\n"


@pytest.fixture
def told(make_world: MakeWorld, clock: FakeClock) -> Told:
    return Told(make_world(clock=clock), clock)


def test_every_event_is_told_in_order(told: Told):
    task_id = told.world.run()
    events = [data(message)["event"]["current"] for message in told.round() if message.type == "status"]
    assert events == ["queued", "starting", "running", "loading"]
    assert told.world.end(task_id, FAILED)
    last = [message for message in told.round() if message.type == "status"]
    assert [data(message)["status"] for message in last] == ["failed"]


def test_event_is_told_as_the_route_of_events_shows_it(told: Told):
    task_id = told.world.start()
    shown = told.world.client.data(f"/api/v1/training/{task_id}/events")["events"][0]
    message = told.round()[0]
    assert data(message)["event"] == {name: value for name, value in shown.items() if name != "task_id"}


def test_progress_is_what_the_route_shows(told: Told):
    task_id = told.world.run()
    message = next(message for message in told.round() if message.type == "progress")
    assert data(message) == told.world.client.data(f"/api/v1/training/{task_id}/progress")


def test_progress_is_told_when_it_has_changed_and_once_a_second_at_most(told: Told):
    task_id = told.run()
    for number in range(2, 5):
        told.world.prints(task_id, step(number))
        told.world.train()
        assert told.types(0.1) == ["metrics"]
    assert told.types(PROGRESS_SECONDS) == ["progress"]
    assert told.types(PROGRESS_SECONDS) == []


def test_look_without_a_change_of_progress_tells_nothing(told: Told):
    task_id = told.world.run()
    told.round()
    told.world.prints(task_id, "something that means nothing\n")
    told.world.train()
    assert told.types(PROGRESS_SECONDS) == []


def test_new_points_are_told_in_batches(told: Told):
    task_id = told.world.run()
    told.round()
    told.world.prints(task_id, step(1, "0.5") + step(2, "nan"))
    told.world.train()
    [message] = [message for message in told.round() if message.type == "metrics"]
    assert message.is_detail
    assert [{**point, "timestamp": None} for point in data(message)["points"]] == [
        {"metric": "loss", "step": 1, "epoch": None, "value": 0.5, "timestamp": None},
        {"metric": "loss", "step": 2, "epoch": None, "value": None, "timestamp": None},
    ]


def test_flood_of_points_is_cut(told: Told):
    task_id = told.world.run()
    told.round()
    told.world.prints(task_id, "".join(step(number) for number in range(1, 5001)))
    told.world.train()
    messages = [message for message in told.round() if message.type == "metrics"]
    points = [point for message in messages for point in data(message)["points"]]
    assert (len(messages), len(points), points[-1]["step"]) == (10, 2000, 5000)


def test_end_comes_after_everything_else_of_its_task(told: Told):
    task_id = told.world.run()
    told.round()
    told.world.prints(task_id, step(1))
    told.world.executor.ends(told.world.uid(task_id), FAILED)
    told.world.train()
    messages = told.round()
    assert [message.type.value for message in messages] == ["metrics", "progress", "status", "end"]
    assert data(messages[1])["status"] == "failed"
    end = data(messages[3])
    assert end.keys() == {"task_id", "status", "failure", "exit_code", "next_offset"}
    assert (end["task_id"], end["status"], end["exit_code"]) == (task_id, "failed", 3)
    assert end["failure"]["code"]


def test_event_of_another_server_is_found_without_being_told(told: Told):
    told.round()
    database = told.world.runtime.database
    database.on_append(lambda: None)
    told.world.start()
    assert told.types() == []
    assert "status" in told.types(LOOK_SECONDS)


def test_progress_of_another_servers_trainings_is_looked_for(told: Told):
    task_id = told.run()
    told.news._is_told = lambda: False
    told.world.prints(task_id, step(2))
    told.world.runtime.live.news._desk.take()
    told.world.note_progress()
    told.world.runtime.live.news._desk.take()
    assert told.types(LOOK_SECONDS) == ["progress"]


def test_progress_that_comes_by_itself_is_not_looked_for(told: Told):
    task_id = told.run()
    told.world.prints(task_id, step(2))
    told.world.train()
    told.world.runtime.live.news._desk.take()
    assert told.types(LOOK_SECONDS) == []


def test_active_tasks_are_those_whose_progress_is_kept(told: Told):
    running, ended = told.world.run(), told.world.finish()
    told.round(LOOK_SECONDS)
    assert told.outlet.kept == {running}
    assert ended not in told.outlet.kept


def test_task_that_was_deleted_at_once_is_no_trouble(told: Told):
    task_id = told.world.finish()
    told.clock.advance(100)
    told.world.free_gpus()
    assert told.world.client.delete(f"/api/v1/training/{task_id}").status_code == 200
    assert told.types(LOOK_SECONDS) == []


def test_event_is_not_lost_when_the_database_fails_in_between(told: Told, monkeypatch: pytest.MonkeyPatch):
    task_id = told.world.run()
    told.round()
    told.world.end(task_id, FAILED)

    def fail(task_id: str) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(told.news._training, "get_progress", fail)
        assert told.types() == []
    assert told.types() == ["progress", "status", "end"]


def test_subscribers_that_were_dropped_are_told_of_once_for_all(told: Told):
    told.round()
    told.world.runtime.live.broker.dropped["gpu"] += 3  # type: ignore[index]
    [message] = told.round(LOOK_SECONDS)
    assert data(message) == {"level": "warning", "message": "3 subscribers were dropped for not reading.", "dropped": 3}
    assert told.types(LOOK_SECONDS) == []


def test_secrets_are_in_no_message(told: Told):
    told.world.run(config_toml=None, env={"HF_TOKEN": "hf_" + "s3cret" * 6})
    assert not any(b"s3cret" in message.json for message in told.round(LOOK_SECONDS))
