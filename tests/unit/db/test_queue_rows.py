"""A long queue is read by what has changed in it, and is the same as when all of it is read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.db.database import Database, sqlite_url
from api.domain.training import GPURequest, NewTask, StopState, TrainingRequest
from api.trainers.toy.trainer import Toy
from api.training import queue_rows
from api.training.store import TaskStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskStore:
    """A store to which three tasks are a long queue."""
    monkeypatch.setattr(queue_rows, "LONG", 3)
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    database.migrate()
    return TaskStore(database)


def add(store: TaskStore, name: str, seconds: float = 0.0) -> None:
    request = TrainingRequest("toy", GPURequest((), 1), name=name, config={"epochs": 1})
    plan = Toy("python").check(request, Path("/data/output")).plan
    assert plan is not None
    store.create(NewTask(name, "toy", request, plan), NOW + timedelta(seconds=seconds), "ann")


def read_both(store: TaskStore) -> tuple[list[str], list[str]]:
    """What a store tells that has read the queue before, and what one that has not."""
    seen, fresh = store.queued(), TaskStore(store._database).queued()
    assert seen == fresh
    return [task.task_id for task in seen], [task.name or "" for task in seen]


def test_what_comes_goes_or_changes_is_seen(store: TaskStore) -> None:
    for place, name in enumerate("abcd"):
        add(store, name, place)
    assert read_both(store)[0] == ["a", "b", "c", "d"]
    add(store, "e", 9.0)
    store.patch("d", {"priority": 5}, NOW, "ann")
    store.patch("a", {"name": "renamed"}, NOW, "ann")
    assert read_both(store) == (["d", "a", "b", "c", "e"], ["d", "renamed", "b", "c", "e"])
    store.request_stop("b", StopState(NOW, "ann", True, None), NOW, "stopped")
    assert read_both(store)[0] == ["d", "a", "c", "e"]


def test_what_has_not_changed_is_not_read_again(store: TaskStore) -> None:
    for name in "abcd":
        add(store, name)
    before = {task.task_id: task for task in store.queued()}
    store.patch("d", {"priority": 1}, NOW, "ann")
    after = {task.task_id: task for task in store.queued()}
    assert after["a"] is before["a"]
    assert after["d"] == replace(before["d"], priority=1, updated_at=NOW)
