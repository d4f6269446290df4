"""What is told about trainings, and in which order: from the table of events and the training loop."""

import json
from typing import Any

import pytest

from api.access.visibility import Visibility
from api.errors import DatabaseUnavailable
from api.events.following import TaskFollowing
from api.events.publisher import LOOK_SECONDS, PROGRESS_SECONDS, FakeOutlet, TaskNews
from api.events.tail import EventTail
from api.executors.fake import outcome
from api.streaming.models import Message
from api.training.event_store import EventStore
from tests.unit.trainings import TrainingMachine, steps

FAILED = outcome(exit_code=3)


class Told:
    """The news of a machine, in a list."""

    def __init__(self, machine: TrainingMachine) -> None:
        self.machine = machine
        self.outlet = FakeOutlet()
        self.is_told = True
        self.dropped = 0
        events = EventStore(machine.database)
        service = machine.parts.service
        self.news = TaskNews(
            machine.desk,
            EventTail(events),
            machine.tasks,
            service,
            TaskFollowing(machine.tasks, machine.attempts, events, service, machine.clock),
            self.outlet,
            machine.clock,
            Visibility(hides_others=False),
            is_told=lambda: self.is_told,
            count_dropped=lambda: self.dropped,
        )
        machine.database.on_append(self.news.wake)
        self.news.begin()

    def round(self, seconds: float = 0.0) -> list[Message]:
        """What a round tells, so many seconds later."""
        self.machine.clock.advance(seconds)
        self.outlet.messages.clear()
        self.news.run_once()
        return [*self.outlet.messages]

    def types(self, seconds: float = 0.0) -> list[str]:
        return [message.type.value for message in self.round(seconds)]

    def trains(self) -> None:
        """A task that trains; its way there is told."""
        self.machine.run()
        self.machine.prints(steps(1))
        self.machine.train()
        self.round()


def data(message: Message) -> Any:
    return json.loads(message.json)["data"]


@pytest.fixture
def told(machine: TrainingMachine) -> Told:
    return Told(machine)


def test_every_event_is_told_in_order(told: Told):
    told.machine.run()
    events = [data(message)["event"]["current"] for message in told.round() if message.type == "status"]
    assert events == ["queued", "starting", "running", "loading"]
    told.machine.end(how=FAILED)
    last = [message for message in told.round() if message.type == "status"]
    assert [data(message)["status"] for message in last] == ["failed"]


def test_progress_is_told_when_it_has_changed_and_once_a_second_at_most(told: Told):
    told.trains()
    for number in range(2, 5):
        told.machine.prints(steps(number))
        told.machine.train()
        assert told.types(0.1) == ["metrics"]
    assert told.types(PROGRESS_SECONDS) == ["progress"]
    assert told.types(PROGRESS_SECONDS) == []


def test_a_look_without_a_change_of_progress_tells_nothing(told: Told):
    told.machine.run()
    told.round()
    told.machine.prints("something that means nothing\n")
    told.machine.train()
    assert told.types(PROGRESS_SECONDS) == []


def test_a_flood_of_points_is_told_in_batches_and_cut(told: Told):
    told.machine.run()
    told.round()
    told.machine.prints(steps(*range(1, 5001)))
    told.machine.train()
    messages = [message for message in told.round() if message.type == "metrics"]
    points = [point for message in messages for point in data(message)["points"]]
    assert (len(messages), len(points), points[-1]["step"]) == (10, 2000, 5000)


def test_the_end_comes_after_everything_else_of_its_task(told: Told):
    told.machine.run()
    told.round()
    told.machine.prints(steps(1))
    told.machine.end(how=FAILED)
    messages = told.round()
    assert [message.type.value for message in messages] == ["metrics", "progress", "status", "end"]
    assert [data(messages[at])["status"] for at in (1, 3)] == ["failed", "failed"]


def test_what_is_said_of_one_that_has_ended_brings_neither_progress_nor_end_again(told: Told):
    told.machine.run()
    told.machine.end(how=FAILED)
    told.round()
    told.machine.tasks.patch("a", {"name": "cats"}, told.machine.clock.now(), "ann")
    assert told.types(2 * PROGRESS_SECONDS) == ["status"]


def test_an_event_of_another_server_is_found_without_being_told(told: Told):
    told.round()
    told.machine.database._on_append.clear()
    told.machine.put()
    assert told.types() == []
    assert "status" in told.types(LOOK_SECONDS)


@pytest.mark.parametrize("is_told", [True, False])
def test_progress_of_another_servers_trainings_is_looked_for(told: Told, is_told: bool):
    told.trains()
    told.is_told = is_told
    told.machine.prints(steps(2))
    told.machine.clock.advance(2.0)
    told.machine.train()
    told.machine.desk.take()
    assert told.types(LOOK_SECONDS) == ([] if is_told else ["progress"])


def test_active_tasks_are_those_whose_progress_is_kept(told: Told):
    told.machine.run("ended")
    told.machine.end("ended", FAILED)
    told.machine.run("runs")
    told.round(LOOK_SECONDS)
    assert told.outlet.kept == {"runs"}


def test_a_task_that_was_deleted_at_once_is_no_trouble(told: Told):
    told.machine.run()
    told.machine.end(how=FAILED)
    told.machine.free_gpus()
    told.machine.tasks.delete("a", told.machine.clock.now())
    assert told.types(LOOK_SECONDS) == []


def test_an_event_is_not_lost_when_the_database_fails_in_between(told: Told, monkeypatch: pytest.MonkeyPatch):
    told.machine.run()
    told.round()
    told.machine.end(how=FAILED)

    def fail(task_id: str) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(told.machine.parts.service, "get_progress", fail)
        assert told.types() == []
    assert told.types() == ["progress", "status", "end"]


def test_subscribers_that_were_dropped_are_told_of_once_for_all(told: Told):
    told.round()
    told.dropped += 3
    [message] = told.round(LOOK_SECONDS)
    assert data(message) == {"level": "warning", "message": "3 subscribers were dropped for not reading.", "dropped": 3}
    assert told.types(LOOK_SECONDS) == []


def test_messages_name_the_owner_where_others_are_hidden(told: Told):
    told.news._visibility = Visibility(hides_others=True)
    told.machine.put(owner="ann")
    messages = told.round()
    assert {message.type.value for message in messages} == {"status", "progress"}
    assert {message.owner for message in messages} == {"ann"}


def test_why_a_task_waits_is_told_in_two_ways(told: Told):
    told.news._visibility = Visibility(hides_others=True)
    told.machine.run(count=4)
    told.machine.put("mine", 4, owner="ann")
    told.machine.train()
    (message,) = [each for each in told.round() if each.type == "progress" and each.task_id == "mine"]
    assert message.restricted is not None
    assert "another user's task" in json.loads(message.restricted)["data"]["waiting_reason"]
    assert "another user's task" not in data(message)["waiting_reason"]
