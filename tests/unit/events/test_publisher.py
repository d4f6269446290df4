"""The published messages about trainings and their order, from the table of events and the training loop."""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from api.access.authority import Visibility
from api.domain.tasks.training import EventKind
from api.errors import DatabaseUnavailable
from api.events.publisher import (
    LOOK_SECONDS,
    PROGRESS_SECONDS,
    EventTail,
    FakeMessageSink,
    TaskMessageSink,
    TaskPublisher,
)
from api.events.stream_reader import TaskStreamReader
from api.executors.fake import outcome
from api.streaming.models import EventWithStatus, Message
from api.training.records.event_store import EventStore
from tests.unit.trainings import TrainingMachine, steps

Tail = EventTail[EventWithStatus]

FAILED = outcome(exit_code=3)


class Harness:
    """The publisher of a machine, with its messages in a list."""

    def __init__(self, machine: TrainingMachine) -> None:
        self.machine = machine
        self.outlet = FakeMessageSink()
        self.has_progress_feed = True
        self.dropped = 0
        events = EventStore(machine.database)
        progress = machine.parts.progress
        self.news = TaskPublisher(
            machine.desk,
            EventTail(events, events.get),
            TaskStreamReader(machine.tasks, machine.attempts, events, progress, machine.clock),
            TaskMessageSink(self.outlet, machine.tasks, progress, Visibility(hides_others=False)),
            machine.clock,
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
        broken.setattr(harness.machine.parts.progress, "get_progress", fail)
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
    harness.news._messages._visibility = Visibility(hides_others=True)
    harness.machine.put(owner="ann")
    messages = harness.round()
    assert {message.type.value for message in messages} == {"status", "progress"}
    assert {message.owner for message in messages} == {"ann"}


def test_waiting_reason_has_a_full_and_a_restricted_form(harness: Harness):
    harness.news._messages._visibility = Visibility(hides_others=True)
    harness.machine.run(count=4)
    harness.machine.put("mine", 4, owner="ann")
    harness.machine.train()
    (message,) = [each for each in harness.round() if each.type == "progress" and each.task_id == "mine"]
    assert message.restricted is not None
    assert "another user's task" in json.loads(message.restricted)["data"]["waiting_reason"]
    assert "another user's task" not in data(message)["waiting_reason"]


@pytest.fixture
def tail(machine: TrainingMachine) -> Tail:
    machine.put()
    events = EventStore(machine.database)
    return EventTail(events, events.get)


def add(machine: TrainingMachine) -> None:
    machine.tasks.add_event("a", EventKind.CHANGE, machine.clock.now(), "ann", "a change", None)


def ids(tail: Tail) -> list[int]:
    return [entry.event.id for entry in tail.read()]


def test_each_event_is_returned_once_in_order(machine: TrainingMachine, tail: Tail):
    tail.begin()
    assert ids(tail) == []
    for _ in range(3):
        add(machine)
    found = ids(tail)
    assert (len(found), found) == (3, sorted(found))
    assert ids(tail) == []
    add(machine)
    assert ids(tail) == [found[-1] + 1]


def test_first_successful_read_is_the_start_if_the_database_was_unavailable(machine: TrainingMachine, tail: Tail):
    assert ids(tail) == []
    add(machine)
    assert len(ids(tail)) == 1


def test_all_events_are_read_however_many_there_are(
    machine: TrainingMachine, tail: Tail, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("api.events.publisher.WINDOW", 3)
    monkeypatch.setattr("api.events.publisher.AT_ONCE", 2)
    tail.begin()
    for _ in range(20):
        add(machine)
    found = ids(tail)
    assert found == list(range(found[0], found[0] + 20))
    assert ids(tail) == []


class Table:
    """A table of events in which a test decides when ids become visible."""

    def __init__(self, *ids: int) -> None:
        self.ids = set(ids)
        self.read_above: list[int] = []

    def latest_id(self) -> int:
        return max(self.ids, default=0)

    def ids_above(self, above: int, limit: int) -> list[int]:
        self.read_above.append(above)
        return sorted(id_ for id_ in self.ids if id_ > above)[:limit]

    def get(self, ids: Sequence[int]) -> list[Any]:
        return [SimpleNamespace(event=SimpleNamespace(id=id_)) for id_ in sorted(ids)]


def test_event_that_becomes_visible_after_a_later_one_is_returned():
    table = Table(1, 2)
    tail = EventTail(table, table.get)
    tail.begin()
    table.ids |= {4, 6}
    assert ids(tail) == [4, 6]
    table.ids |= {3, 7}
    assert ids(tail) == [3, 7]
    table.ids.add(5)
    assert (ids(tail), ids(tail)) == ([5], [])


def test_event_that_was_missing_at_the_start_is_returned_later():
    table = Table(1, 3)
    tail = EventTail(table, table.get)
    tail.begin()
    table.ids.add(2)
    assert ids(tail) == [2]


def test_without_missing_ids_only_new_events_are_read():
    table = Table(*range(1, 51))
    tail = EventTail(table, table.get)
    tail.begin()
    table.ids.add(51)
    assert (ids(tail), ids(tail)) == ([51], [])
    assert table.read_above[-2:] == [50, 51]


def test_id_that_never_appears_is_abandoned(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.events.publisher.WINDOW", 10)
    table = Table(1)
    tail = EventTail(table, table.get)
    tail.begin()
    table.ids |= {1_000_000, 1_000_002}
    assert ids(tail) == [1_000_000, 1_000_002]
    table.ids |= set(range(1_000_003, 1_000_020))
    assert len(ids(tail)) == 17
    table.ids.add(1_000_001)
    assert ids(tail) == []
    assert table.read_above[-1] == 1_000_019
