import pytest

from api.db.database import Database
from api.domain.reason import Reason
from api.domain.tasks.retention import RetentionRule
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import EventKind
from api.errors import TaskNotFound
from api.training.records.task_store import TaskStore
from api.training.retention.store import RetentionFacts, RetentionStore
from tests.unit.db.builders import NOW, new_task

RULE = RetentionRule(keep_last=3, keep_rated=4)


@pytest.fixture
def tasks(database: Database) -> TaskStore:
    made = TaskStore(database)
    made.create(new_task("t1", keep_last_checkpoints=2), NOW, "ann")
    return made


@pytest.fixture
def store(database: Database, tasks: TaskStore) -> RetentionStore:
    return RetentionStore(database)


def test_rule_is_stored_with_an_event(store: RetentionStore, tasks: TaskStore):
    assert store.rules_of("t1") == (None, 2)
    for _ in range(2):
        store.put("t1", RULE, NOW, "ann")
    assert store.rules_of("t1") == (RULE, 2)
    assert [event.actor for event in tasks.events("t1", 0, 9) if event.type is EventKind.CHANGE] == ["ann"]
    with pytest.raises(TaskNotFound):
        store.put("absent", RULE, NOW, "ann")


def test_unfinished_tasks_and_what_they_need_are_found(store: RetentionStore, tasks: TaskStore):
    order = {"task_id": "t1", "checkpoints": ["epoch1", "epoch2"]}
    tasks.create(new_task("s1", kind=TaskType.SAMPLE, config={"order": order}), NOW, "ann")
    order = {"task_id": "t1", "checkpoint": "global_step10", "target": "step10"}
    tasks.create(new_task("e1", kind=TaskType.EXPORT, config={"order": order}), NOW, "ann")
    tasks.create(new_task("t2", config_toml='init_from_existing = "/data/tasks/t1/output/2026/epoch3"'), NOW, "ann")
    facts = store.facts("t1")
    assert (facts.used_by, facts.all_used_by) == (
        {"epoch1": "s1", "epoch2": "s1", "global_step10": "e1", "step10": "e1", "epoch3": "t2"},
        None,
    )
    tasks.create(new_task("t3", config={"adapter": {"init_from_existing": "/data/tasks/t1/output"}}), NOW, "ann")
    assert store.facts("t1").all_used_by == "t3"


def test_deletions_are_events_of_the_service(store: RetentionStore, tasks: TaskStore):
    def hide(facts: RetentionFacts) -> list[tuple[str, Reason]]:
        assert facts.task.task_id == "t1"
        return [("epoch1", Reason.of("{name} was deleted", "checkpoint_deleted", name="epoch1"))]

    store.delete("t1", hide, NOW)
    [event] = [each for each in tasks.events("t1", 0, 9) if each.type is EventKind.CHECKPOINT]
    assert (event.actor, event.previous, event.current) == ("service", "epoch1", None)
