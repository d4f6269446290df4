"""Counts of tasks, by indices only."""

from dataclasses import replace

import pytest
from sqlalchemy import select, text

from api.db.database import Database
from api.db.tables import task_roll, tasks
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import GPURequest, StopState, TaskFilter, TaskStatus
from api.training.records.task_queries import _count, count_tasks
from api.training.records.task_store import TaskStore
from tests.unit.db.builders import NOW, Stores, new_attempt, new_task

TRAININGS = TaskFilter(kind=TaskType.TRAINING)
OTHERS = TaskFilter(kind=TaskType.PREPROCESSING)


@pytest.fixture
def filled(stores: Stores) -> Stores:
    """Ann's two trainings, one with a GPU, Bob's training, and a task of another kind of each."""
    stores.tasks.create(new_task("t1", owner="ann"), NOW, "ann")
    stores.attempts.claim(new_attempt("t1", 2), NOW)
    for task_id, owner in (("t2", "ann"), ("t3", "bob")):
        stores.tasks.create(new_task(task_id, owner=owner), NOW, owner)
    for task_id, owner in (("p1", "ann"), ("p2", "bob")):
        free = new_task(task_id, owner=owner, kind=TaskType.PREPROCESSING, gpus=GPURequest(count=0))
        stores.tasks.create(free, NOW, owner)
    return stores


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        (TaskFilter(), 5),
        (TRAININGS, 3),
        (OTHERS, 2),
        (replace(TRAININGS, owner="ann"), 2),
        (replace(TRAININGS, seen_by="bob"), 1),
        (replace(OTHERS, owner="bob"), 1),
        (replace(TRAININGS, statuses=(TaskStatus.STARTING,)), 1),
        (replace(TRAININGS, gpu_uuid="GPU-2"), 1),
        (replace(TRAININGS, gpu_uuid="GPU-3"), 0),
        (replace(TRAININGS, search="t3"), 1),
        (replace(TRAININGS, search="p1"), 0),
    ],
)
def test_filtered_tasks_are_counted(filled: Stores, wanted: TaskFilter, number: int):
    with filled.database.read() as connection:
        assert count_tasks(connection, wanted) == number


def test_pushes_are_found_by_model_in_order(stores: Stores):
    for task_id, model in (("u1", "cats"), ("u2", "dogs"), ("u3", "cats")):
        config = {"order": {"model": model}}
        free = new_task(task_id, kind=TaskType.PUSH, gpus=GPURequest(count=0), config=config)
        stores.tasks.create(free, NOW, "ann")
    wanted = TaskFilter(kind=TaskType.PUSH, pushed_model="cats")
    rows, total = stores.tasks.page(wanted, limit=10, offset=0, cursor=None)
    assert ([row.task_id for row in rows], total) == (["u3", "u1"], 2)


@pytest.mark.parametrize(
    ("kind", "owner", "counts"),
    [
        (None, None, {TaskStatus.STARTING: 1, TaskStatus.QUEUED: 4}),
        (TaskType.TRAINING, None, {TaskStatus.STARTING: 1, TaskStatus.QUEUED: 2}),
        (TaskType.TRAINING, "bob", {TaskStatus.QUEUED: 1}),
        (TaskType.PREPROCESSING, None, {TaskStatus.QUEUED: 2}),
        (TaskType.PREPROCESSING, "ann", {TaskStatus.QUEUED: 1}),
        (TaskType.TRAINING, "carl", {}),
    ],
)
def test_each_status_is_counted(
    filled: Stores, kind: TaskType | None, owner: str | None, counts: dict[TaskStatus, int]
):
    assert TaskStore(filled.database, kind).count_by_status(owner) == counts


def test_deleted_tasks_are_not_counted(filled: Stores):
    stop = StopState(NOW, "ann", force=True, timeout_seconds=None, rung=None)
    filled.tasks.request_stop("t2", stop, NOW, "stopped")
    filled.tasks.delete("t2", NOW)
    with filled.database.read() as connection:
        counts = [count_tasks(connection, wanted) for wanted in (TaskFilter(), TRAININGS, OTHERS)]
        result = {row.serial: row.owner for row in connection.execute(select(task_roll))}
        stored = {row.serial: row.owner for row in connection.execute(select(tasks))}
    assert (counts, result) == ([4, 2, 2], stored)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("wanted", [TaskFilter(), TaskFilter(statuses=(TaskStatus.COMPLETED,))])
def test_counting_trainings_reads_no_task_rows(database: Database, wanted: TaskFilter, others: bool):
    statement = _count(wanted, others=others)
    result = str(statement.compile(database.engine, compile_kwargs={"literal_binds": True}))
    with database.read() as connection:
        plan = " ".join(row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {result}")))
    assert plan.replace("COVERING INDEX", "").count("INDEX") == 0
    assert ("ix_tasks_kind" in plan) is others
