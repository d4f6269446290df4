import pytest

from api.models.training import EventKind
from api.services.events.tail import EventTail
from api.storage.events import EventStore
from tests.unit.services.trainings import TrainingMachine


@pytest.fixture
def tail(machine: TrainingMachine) -> EventTail:
    machine.put()
    return EventTail(EventStore(machine.database))


def add(machine: TrainingMachine) -> None:
    machine.tasks.add_event("a", EventKind.CHANGE, machine.clock.now(), "ann", "a change", None)


def ids(tail: EventTail) -> list[int]:
    return [told.event.id for told in tail.read()]


def test_each_event_is_told_once_in_order(machine: TrainingMachine, tail: EventTail):
    tail.begin()
    assert ids(tail) == []
    for _ in range(3):
        add(machine)
    found = ids(tail)
    assert (len(found), found) == (3, sorted(found))
    assert ids(tail) == []
    add(machine)
    assert ids(tail) == [found[-1] + 1]


def test_one_that_could_not_begin_begins_with_its_first_answer(machine: TrainingMachine, tail: EventTail):
    assert ids(tail) == []
    add(machine)
    assert len(ids(tail)) == 1


def test_it_reads_on_however_much_there_is(machine: TrainingMachine, tail: EventTail, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.services.events.tail.WINDOW", 3)
    monkeypatch.setattr("api.services.events.tail.AT_ONCE", 2)
    tail.begin()
    for _ in range(20):
        add(machine)
    found = ids(tail)
    assert found == list(range(found[0], found[0] + 20))
    assert ids(tail) == []
