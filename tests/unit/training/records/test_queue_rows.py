"""A long queue is read incrementally, with the same result as reading all of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.db.database import Database, sqlite_url
from api.domain.tasks.training import GPURequest, NewTask, StopState, TrainingRequest
from api.trainers.toy.trainer import Toy
from api.training.records import task_queries
from api.training.records.task_store import TaskStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskStore:
    """A store that treats three tasks as a long queue."""
    monkeypatch.setattr(task_queries, "LONG", 3)
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    database.migrate()
    return TaskStore(database)


def add(store: TaskStore, name: str, seconds: float = 0.0) -> None:
    request = TrainingRequest("toy", GPURequest((), 1), name=name, config={"epochs": 1})
    plan = Toy("python").check(request, Path("/data/output")).plan
    assert plan is not None
    store.create(NewTask(name, "toy", request, plan), NOW + timedelta(seconds=seconds), "ann")


def read_both(store: TaskStore) -> tuple[list[str], list[str]]:
    """Return the queue as read by a store with a cache, and by a new one."""
    seen, fresh = store.queued(), TaskStore(store._database).queued()
    assert seen == fresh
    return [task.task_id for task in seen], [task.name or "" for task in seen]


def test_added_removed_and_changed_tasks_are_seen(store: TaskStore) -> None:
    for place, name in enumerate("abcd"):
        add(store, name, place)
    assert read_both(store)[0] == ["a", "b", "c", "d"]
    add(store, "e", 9.0)
    store.patch("d", {"priority": 5}, NOW, "ann")
    store.patch("a", {"name": "renamed"}, NOW, "ann")
    assert read_both(store) == (["d", "a", "b", "c", "e"], ["d", "renamed", "b", "c", "e"])
    store.request_stop("b", StopState(NOW, "ann", True, None), NOW, "stopped")
    assert read_both(store)[0] == ["d", "a", "c", "e"]


def test_unchanged_tasks_are_not_read_again(store: TaskStore) -> None:
    for name in "abcd":
        add(store, name)
    before = {task.task_id: task for task in store.queued()}
    store.patch("d", {"priority": 1}, NOW, "ann")
    after = {task.task_id: task for task in store.queued()}
    assert after["a"] is before["a"]
    assert after["d"] == replace(before["d"], priority=1, updated_at=NOW)
