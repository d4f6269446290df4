"""Events as their subscribers read them."""

import pytest

from api.db.database import Database
from api.domain.reason import Reason
from api.domain.tasks.progress import NO_PROGRESS
from api.domain.tasks.training import EventKind, StopState, TaskStatus
from api.errors import Conflict, TaskNotFound
from api.events.publisher import EventTail
from api.streaming.models import EventWithStatus
from api.training.records import event_store as events
from api.training.records.event_store import EventStore
from tests.unit.db.builders import NOW, Stores, new_task

Tail = EventTail[EventWithStatus]


class Listener:
    """Counts its calls, and reads the committed events at each."""

    def __init__(self, database: Database) -> None:
        self.latest: list[int] = []
        self._store = EventStore(database)
        database.on_append(self)

    def __call__(self) -> None:
        self.latest.append(self._store.latest_id())


def add(stores: Stores, task_id: str = "t1", kind: EventKind = EventKind.CHANGE) -> None:
    stores.tasks.add_event(task_id, kind, NOW, "api", "it was changed", None)


def test_listener_is_called_after_the_commit(database: Database, stores: Stores):
    listener = Listener(database)
    stores.tasks.create(new_task(), NOW, "api")
    add(stores)
    assert listener.latest == [listener.latest[0], listener.latest[0] + 1]


def test_transaction_without_an_event_calls_no_listener(database: Database, stores: Stores):
    stores.tasks.create(new_task(), NOW, "api")
    listener = Listener(database)
    stores.attempts.save_progress({"t1": NO_PROGRESS}, NOW)
    stores.tasks.get("t1")
    assert listener.latest == []


def test_rolled_back_transaction_calls_no_listener(database: Database, stores: Stores):
    stores.tasks.create(new_task(), NOW, "api")
    listener = Listener(database)
    with pytest.raises(ZeroDivisionError):
        append_and_fail(database)
    stores.attempts.save_progress({"t1": NO_PROGRESS}, NOW)
    assert listener.latest == []


def test_event_has_the_status_of_its_task_at_that_time(database: Database, stores: Stores):
    stores.tasks.create(new_task(), NOW, "api")
    add(stores)
    stores.tasks.request_stop("t1", stop_now(), NOW, "stop it")
    store = EventStore(database)
    result = store.get(store.ids_above(0, 10))
    assert [(each.event.type, each.status) for each in result] == [
        (EventKind.STATUS, TaskStatus.QUEUED),
        (EventKind.CHANGE, TaskStatus.QUEUED),
        (EventKind.STATUS, TaskStatus.STOPPED),
    ]


def append_and_fail(database: Database) -> None:
    with database.write() as connection:
        events.append(connection, "t1", NOW, EventKind.CHANGE, "api", "never")
        raise ZeroDivisionError


def stop_now() -> StopState:
    return StopState(NOW, "api", force=False, timeout_seconds=None)


def test_position_without_an_id_is_the_present_status(database: Database, stores: Stores):
    stores.tasks.create(new_task(), NOW, "api")
    add(stores)
    position = EventStore(database).position("t1", None, 10)
    assert [each.event.type for each in position.events] == [EventKind.STATUS]
    assert position.last_id == EventStore(database).latest_id()
    assert (position.status, position.has_more) == (TaskStatus.QUEUED, False)


def test_position_after_an_id_has_the_later_events(database: Database, stores: Stores):
    for task_id in ("t1", "t2"):
        stores.tasks.create(new_task(task_id), NOW, "api")
    for _ in range(3):
        add(stores, "t1")
        add(stores, "t2")
    store = EventStore(database)
    ids = [each.event.id for each in store.position("t1", 0, 10).events]
    assert len(ids) == 4
    first = store.position("t1", ids[0], 2)
    assert ([each.event.id for each in first.events], first.last_id, first.has_more) == (ids[1:3], ids[2], True)
    rest = store.position("t1", first.last_id, 2)
    assert ([each.event.id for each in rest.events], rest.has_more) == (ids[3:], False)


def test_position_after_the_latest_has_no_events(database: Database, stores: Stores):
    stores.tasks.create(new_task(), NOW, "api")
    latest = EventStore(database).latest_id()
    position = EventStore(database).position("t1", latest, 10)
    assert (position.events, position.last_id, position.has_more) == ((), latest, False)


def test_position_in_the_future_is_the_present(database: Database, stores: Stores):
    stores.tasks.create(new_task(), NOW, "api")
    latest = EventStore(database).latest_id()
    position = EventStore(database).position("t1", latest + 5, 10)
    assert (len(position.events), position.last_id) == (1, latest)


def test_position_of_an_unknown_task_is_not_found(database: Database):
    with pytest.raises(TaskNotFound):
        EventStore(database).position("nobody", None, 10)


# -- the tail --------------------------------------------------------------------------------------------------------


def ids(tail: Tail) -> list[int]:
    return [result.event.id for result in tail.read()]


def test_tail_returns_each_event_once_in_order(database: Database, stores: Stores):
    stores.tasks.create(new_task(), NOW, "api")
    store = EventStore(database)
    tail = EventTail(store, store.get)
    tail.begin()
    assert ids(tail) == []
    for _ in range(3):
        add(stores)
    found = ids(tail)
    assert (len(found), found) == (3, sorted(found))
    assert ids(tail) == []
    add(stores)
    assert ids(tail) == [found[-1] + 1]


def test_tail_that_could_not_start_starts_with_its_first_response(database: Database, stores: Stores):
    stores.tasks.create(new_task(), NOW, "api")
    store = EventStore(database)
    tail = EventTail(store, store.get)
    assert ids(tail) == []
    add(stores)
    assert len(ids(tail)) == 1


def test_tail_finds_an_event_that_became_visible_after_a_later_one(database: Database, stores: Stores):
    for task_id in ("t1", "t2"):
        stores.tasks.create(new_task(task_id), NOW, "api")
    store = EventStore(database)
    tail = EventTail(store, store.get)
    tail.begin()
    if database.is_sqlite:
        pytest.skip("one writer at a time")
    with database.write() as slow:
        events.append(slow, "t1", NOW, EventKind.CHANGE, "api", "slow")
        add(stores, "t2")
        [later] = ids(tail)
    assert ids(tail) == [later - 1]


def test_tail_reads_any_number_of_events(database: Database, stores: Stores, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.events.publisher.WINDOW", 3)
    monkeypatch.setattr("api.events.publisher.AT_ONCE", 2)
    stores.tasks.create(new_task(), NOW, "api")
    store = EventStore(database)
    tail = EventTail(store, store.get)
    tail.begin()
    for _ in range(20):
        add(stores)
    found = ids(tail)
    assert found == list(range(found[0], found[0] + 20))
    assert ids(tail) == []


def test_conflict_changes_nothing_and_appends_no_event(database: Database, stores: Stores):
    stores.tasks.create(new_task(), NOW, "api")
    stores.tasks.request_stop("t1", stop_now(), NOW, "stop it")
    listener = Listener(database)
    with pytest.raises(Conflict):
        stores.tasks.request_stop("t1", stop_now(), NOW, "again")
    assert listener.latest == []


@pytest.mark.parametrize("letter", ["\0", "\ud800"], ids=["NUL", "half a character"])
def test_codes_of_a_warning_and_its_event_are_stored(stores: Stores, letter: str):
    attempt, line = stores.running(), Reason.of("its last line: {line}", "line", line=f"said {letter}")
    stores.tasks.set_warning("t1", attempt.uid, Reason.of("It hangs: {why}.", "hangs", why=line, seconds=3), NOW)
    stored = [stores.tasks.get("t1").warning_code, stores.tasks.events("t1", 0, 10)[-1].message_code]
    for output in stored:
        assert output is not None
        assert (output.code, output.params["seconds"], output.params["why"]["code"]) == ("hangs", 3, "line")
        assert output.params["why"]["params"]["line"].startswith("said ")
    stores.tasks.set_warning("t1", attempt.uid, None, NOW)
    assert stores.tasks.get("t1").warning_code is None
