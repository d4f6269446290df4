"""The published messages about trainings and their order, from the table of events and the training loop."""

import json
from typing import Any

import pytest

from api.access.visibility import Visibility
from api.errors import DatabaseUnavailable
from api.events.publisher import LOOK_SECONDS, PROGRESS_SECONDS, FakeMessageSink, TaskPublisher
from api.events.stream_reader import TaskStreamReader
from api.events.tail import EventTail
from api.executors.fake import outcome
from api.streaming.models import Message
from api.training.event_store import EventStore
from tests.unit.trainings import TrainingMachine, steps

FAILED = outcome(exit_code=3)


class Harness:
    """The publisher of a machine, with its messages in a list."""

    def __init__(self, machine: TrainingMachine) -> None:
        self.machine = machine
        self.outlet = FakeMessageSink()
        self.has_progress_feed = True
        self.dropped = 0
        events = EventStore(machine.database)
        service = machine.parts.service
        self.news = TaskPublisher(
            machine.desk,
            EventTail(events),
            machine.tasks,
            service,
            TaskStreamReader(machine.tasks, machine.attempts, events, service, machine.clock),
            self.outlet,
            machine.clock,
            Visibility(hides_others=False),
            has_progress_feed=lambda: self.has_progress_feed,
            count_dropped=lambda: self.dropped,
        )
        machine.database.on_append(self.news.wake)
        self.news.begin()

    def round(self, seconds: float = 0.0) -> list[Message]:
        """Run a round after so many seconds; return its messages."""
        self.machine.clock.advance(seconds)
        self.outlet.messages.clear()
        self.news.run_once()
        return [*self.outlet.messages]

    def types(self, seconds: float = 0.0) -> list[str]:
        return [message.type.value for message in self.round(seconds)]

    def start_training(self) -> None:
        """Start a task, and discard the messages about its start."""
        self.machine.run()
        self.machine.prints(steps(1))
        self.machine.train()
        self.round()


def data(message: Message) -> Any:
    return json.loads(message.json)["data"]


@pytest.fixture
def harness(machine: TrainingMachine) -> Harness:
    return Harness(machine)


def test_every_event_is_published_in_order(harness: Harness):
    harness.machine.run()
    events = [data(message)["event"]["current"] for message in harness.round() if message.type == "status"]
    assert events == ["queued", "starting", "running", "loading"]
    harness.machine.end(how=FAILED)
    last = [message for message in harness.round() if message.type == "status"]
    assert [data(message)["status"] for message in last] == ["failed"]


def test_changed_progress_is_published_at_most_once_a_second(harness: Harness):
    harness.start_training()
    for number in range(2, 5):
        harness.machine.prints(steps(number))
        harness.machine.train()
        assert harness.types(0.1) == ["metrics"]
    assert harness.types(PROGRESS_SECONDS) == ["progress"]
    assert harness.types(PROGRESS_SECONDS) == []


def test_poll_without_changed_progress_publishes_nothing(harness: Harness):
    harness.machine.run()
    harness.round()
    harness.machine.prints("something that means nothing\n")
    harness.machine.train()
    assert harness.types(PROGRESS_SECONDS) == []


def test_flood_of_points_is_published_in_batches_and_cut(harness: Harness):
    harness.machine.run()
    harness.round()
    harness.machine.prints(steps(*range(1, 5001)))
    harness.machine.train()
    messages = [message for message in harness.round() if message.type == "metrics"]
    points = [point for message in messages for point in data(message)["points"]]
    assert (len(messages), len(points), points[-1]["step"]) == (10, 2000, 5000)


def test_end_follows_all_other_messages_of_its_task(harness: Harness):
    harness.machine.run()
    harness.round()
    harness.machine.prints(steps(1))
    harness.machine.end(how=FAILED)
    messages = harness.round()
    assert [message.type.value for message in messages] == ["metrics", "progress", "status", "end"]
    assert [data(messages[at])["status"] for at in (1, 3)] == ["failed", "failed"]


def test_later_event_of_a_finished_task_publishes_neither_progress_nor_end(harness: Harness):
    harness.machine.run()
    harness.machine.end(how=FAILED)
    harness.round()
    harness.machine.tasks.patch("a", {"name": "cats"}, harness.machine.clock.now(), "ann")
    assert harness.types(2 * PROGRESS_SECONDS) == ["status"]


def test_event_of_another_server_is_found_by_polling(harness: Harness):
    harness.round()
    harness.machine.database._on_append.clear()
    harness.machine.put()
    assert harness.types() == []
    assert "status" in harness.types(LOOK_SECONDS)


@pytest.mark.parametrize("has_progress_feed", [True, False])
def test_progress_of_another_servers_trainings_is_polled(harness: Harness, has_progress_feed: bool):
    harness.start_training()
    harness.has_progress_feed = has_progress_feed
    harness.machine.prints(steps(2))
    harness.machine.clock.advance(2.0)
    harness.machine.train()
    harness.machine.desk.take()
    assert harness.types(LOOK_SECONDS) == ([] if has_progress_feed else ["progress"])


def test_progress_is_retained_for_active_tasks(harness: Harness):
    harness.machine.run("ended")
    harness.machine.end("ended", FAILED)
    harness.machine.run("runs")
    harness.round(LOOK_SECONDS)
    assert harness.outlet.retained == {"runs"}


def test_task_that_was_deleted_immediately_is_ignored(harness: Harness):
    harness.machine.run()
    harness.machine.end(how=FAILED)
    harness.machine.free_gpus()
    harness.machine.tasks.delete("a", harness.machine.clock.now())
    assert harness.types(LOOK_SECONDS) == []


def test_event_is_not_lost_when_the_database_fails_in_between(harness: Harness, monkeypatch: pytest.MonkeyPatch):
    harness.machine.run()
    harness.round()
    harness.machine.end(how=FAILED)

    def fail(task_id: str) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(harness.machine.parts.service, "get_progress", fail)
        assert harness.types() == []
    assert harness.types() == ["progress", "status", "end"]


def test_dropped_subscribers_are_reported_by_one_message(harness: Harness):
    harness.round()
    harness.dropped += 3
    [message] = harness.round(LOOK_SECONDS)
    assert data(message) == {
        "level": "warning",
        "message": "3 subscribers were dropped for being too slow.",
        "dropped": 3,
    }
    assert harness.types(LOOK_SECONDS) == []


def test_messages_have_the_owner_if_tasks_of_others_are_hidden(harness: Harness):
    harness.news._visibility = Visibility(hides_others=True)
    harness.machine.put(owner="ann")
    messages = harness.round()
    assert {message.type.value for message in messages} == {"status", "progress"}
    assert {message.owner for message in messages} == {"ann"}


def test_waiting_reason_has_a_full_and_a_restricted_form(harness: Harness):
    harness.news._visibility = Visibility(hides_others=True)
    harness.machine.run(count=4)
    harness.machine.put("mine", 4, owner="ann")
    harness.machine.train()
    (message,) = [each for each in harness.round() if each.type == "progress" and each.task_id == "mine"]
    assert message.restricted is not None
    assert "another user's task" in json.loads(message.restricted)["data"]["waiting_reason"]
    assert "another user's task" not in data(message)["waiting_reason"]
