from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.domain.training import EventKind
from api.events.tail import EventTail
from api.training.event_store import EventStore
from tests.unit.trainings import TrainingMachine


@pytest.fixture
def tail(machine: TrainingMachine) -> EventTail:
    machine.put()
    return EventTail(EventStore(machine.database))


def add(machine: TrainingMachine) -> None:
    machine.tasks.add_event("a", EventKind.CHANGE, machine.clock.now(), "ann", "a change", None)


def ids(tail: EventTail) -> list[int]:
    return [entry.event.id for entry in tail.read()]


def test_each_event_is_returned_once_in_order(machine: TrainingMachine, tail: EventTail):
    tail.begin()
    assert ids(tail) == []
    for _ in range(3):
        add(machine)
    found = ids(tail)
    assert (len(found), found) == (3, sorted(found))
    assert ids(tail) == []
    add(machine)
    assert ids(tail) == [found[-1] + 1]


def test_first_successful_read_is_the_start_if_the_database_was_unavailable(machine: TrainingMachine, tail: EventTail):
    assert ids(tail) == []
    add(machine)
    assert len(ids(tail)) == 1


def test_all_events_are_read_however_many_there_are(
    machine: TrainingMachine, tail: EventTail, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("api.events.tail.WINDOW", 3)
    monkeypatch.setattr("api.events.tail.AT_ONCE", 2)
    tail.begin()
    for _ in range(20):
        add(machine)
    found = ids(tail)
    assert found == list(range(found[0], found[0] + 20))
    assert ids(tail) == []


class Table:
    """A table of events in which ids become visible as a test says."""

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
    tail = EventTail(cast(EventStore, table))
    tail.begin()
    table.ids |= {4, 6}
    assert ids(tail) == [4, 6]
    table.ids |= {3, 7}
    assert ids(tail) == [3, 7]
    table.ids.add(5)
    assert (ids(tail), ids(tail)) == ([5], [])


def test_event_that_was_missing_at_the_start_is_returned_later():
    table = Table(1, 3)
    tail = EventTail(cast(EventStore, table))
    tail.begin()
    table.ids.add(2)
    assert ids(tail) == [2]


def test_without_missing_ids_only_new_events_are_read():
    table = Table(*range(1, 51))
    tail = EventTail(cast(EventStore, table))
    tail.begin()
    table.ids.add(51)
    assert (ids(tail), ids(tail)) == ([51], [])
    assert table.read_above[-2:] == [50, 51]


def test_id_that_never_appears_is_abandoned(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.events.tail.WINDOW", 10)
    table = Table(1)
    tail = EventTail(cast(EventStore, table))
    tail.begin()
    table.ids |= {1_000_000, 1_000_002}
    assert ids(tail) == [1_000_000, 1_000_002]
    table.ids |= set(range(1_000_003, 1_000_020))
    assert len(ids(tail)) == 17
    table.ids.add(1_000_001)
    assert ids(tail) == []
    assert table.read_above[-1] == 1_000_019
