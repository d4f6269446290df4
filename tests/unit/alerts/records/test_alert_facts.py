from api.alerts.records.fact_store import AlertFactStore, CheckpointProgress
from api.db.database import Database
from api.db.tables import leadership
from api.domain.tasks.training import EventKind, TaskNotice, TaskStatus
from api.nodes.store import Node, NodeStore
from tests.unit.db.builders import NOW, ROOT, Stores, later, new_task


def test_open_and_recently_ended_tasks_are_facts(stores: Stores, database: Database):
    for task_id in ("t1", "t2"):
        stores.tasks.create(new_task(task_id), NOW, "api")
    found = AlertFactStore(database)
    assert {task.task_id for task in found.tasks(NOW)} == {"t1", "t2"}
    assert all(task.status is TaskStatus.QUEUED for task in found.tasks(later(9)))


def test_channels_of_a_request_are_found(stores: Stores, database: Database):
    stores.tasks.create(new_task("t1", notify=TaskNotice(("finished",), ("mail",))), NOW, "api")
    stores.tasks.create(new_task("t2"), NOW, "api")
    assert AlertFactStore(database).notify(["t1", "t2"]) == {"t1": {"on": ["finished"], "channels": ["mail"]}}
    assert stores.tasks.get("t1").request.notify == TaskNotice(("finished",), ("mail",))


def test_headway_counts_attempts_since_the_latest_checkpoint(stores: Stores, database: Database):
    stores.tasks.create(new_task("t1"), NOW, "api")
    facts = AlertFactStore(database)
    assert facts.checkpoint_progress(["t1"]) == {"t1": CheckpointProgress(None, 0)}
    stores.tasks.add_event("t1", EventKind.CHECKPOINT, later(5), "trainer", "x", "t1.1", current="step1")
    (found,) = facts.checkpoint_progress(["t1"]).values()
    assert (found.checkpoint_at, found.attempts_since) == (later(5).timestamp(), 0)


def test_headway_counts_by_numbers_if_the_clock_was_set_back(stores: Stores, database: Database):
    uid, facts = stores.running("t1").uid, AlertFactStore(database)
    stores.tasks.add_event("t1", EventKind.CHECKPOINT, later(90_000), "trainer", "x", uid, current="step1")
    stores.tasks.add_event("t1", EventKind.CHECKPOINT, later(-90_000), "trainer", "x", uid, current="step2")
    stores.tasks.add_event("t1", EventKind.CHECKPOINT, later(-89_999), "service", "pruned", uid, previous="step1")
    (after,) = facts.checkpoint_progress(["t1"]).values()
    assert (after.checkpoint_at, after.attempts_since) == (later(-90_000).timestamp(), 0)


def test_signs_of_life_are_of_leaders(database: Database):
    facts = AlertFactStore(database)
    with database.write() as connection:
        for scope, holder in (("a", "x"), ("b", "")):
            connection.execute(leadership.insert().values(scope=scope, fence=1, holder=holder, expires_at=7.0))
    assert facts.lease_renewals() == {"a": 7.0}
    NodeStore(database).register(Node("n1", "m", is_settled=True), ROOT)
    assert facts.nodes() == ["n1"]


def test_sqlite_has_no_clock_and_a_server_has(database: Database):
    offset = AlertFactStore(database).clock_offset(NOW)
    assert (offset is None) == database.is_sqlite
    assert offset is None or offset > 0
