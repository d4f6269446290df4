"""Fills tables with trainings: the service's code creates one, and its row is copied."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select

from api.db.database import Database
from api.db.tables import attempts, events, task_gpus, task_roll, tasks
from api.domain.tasks.progress import NO_PROGRESS
from api.domain.tasks.training import AttemptStatus, GPURequest, NewTask, TaskStatus, TrainingRequest
from api.trainers.toy.trainer import Toy
from api.training.records.task_store import TaskStore
from benchmarks.databases import bare

AT_ONCE = 5000

#: Number of tasks per hundred with each status; none is queued or running, since a server would start them.
STATUSES = {TaskStatus.COMPLETED: 90, TaskStatus.STOPPED: 7, TaskStatus.FAILED: 3}

_START = 1_700_000_000.0


def template(database: Database) -> dict[str, Any]:
    """Create a task and delete it again; return its row."""
    request = TrainingRequest(model_type="toy", name="a training", config={"epochs": 3, "toy": {"step_seconds": 0.05}})
    plan = Toy("python").check(request, Path("/data/tasks/TASK_ID/output")).plan
    assert plan is not None
    TaskStore(database).create(NewTask("template", "toy", request, plan), datetime.now(UTC), "api")
    with database.write() as connection:
        row = connection.execute(select(tasks).where(tasks.c.task_id == "template")).one()._asdict()
        for table in (tasks, events):
            connection.execute(delete(table).where(table.c.task_id == "template"))
        connection.execute(delete(task_roll).where(task_roll.c.serial == row["serial"]))
    del row["serial"]
    return row


def fill_finished(database: Database, count: int, gpu_uuids: Sequence[str]) -> list[str]:
    """Create finished tasks with one attempt each, distributed over the GPUs; return their ids, oldest first."""
    row, chance = template(database), random.Random(0)
    statuses = chance.choices(list(STATUSES), list(STATUSES.values()), k=count)
    made = [_finished(row, number, status, chance.choice(gpu_uuids)) for number, status in enumerate(statuses)]
    for start in range(0, count, AT_ONCE):
        some = made[start : start + AT_ONCE]
        with database.write() as connection:
            connection.execute(insert(tasks), some)
            connection.execute(insert(attempts), [_attempt(task) for task in some])
            first = str(some[0]["task_id"])
            serial = connection.scalar(select(tasks.c.serial).where(tasks.c.task_id == first)) or 0
            had = [{"gpu_uuid": task["gpu_uuids"][0], "serial": serial + at} for at, task in enumerate(some)]
            connection.execute(insert(task_gpus), had)
    _enroll(database)
    _tidy(database)
    return [task["task_id"] for task in made]


def _enroll(database: Database) -> None:
    """Add all tasks to the table of counts."""
    names = [column.name for column in task_roll.c]
    with database.write() as connection:
        connection.execute(insert(task_roll).from_select(names, select(*[tasks.c[name] for name in names])))


def _tidy(database: Database) -> None:
    """Checkpoint or vacuum the database, which has happened to old rows in production."""
    with bare(database.url.render_as_string(hide_password=False)) as driver:
        driver.run("PRAGMA wal_checkpoint(PASSIVE)" if database.is_sqlite else "VACUUM ANALYZE")


def _finished(row: dict[str, Any], number: int, status: TaskStatus, gpu_uuid: str) -> dict[str, Any]:
    at = _START + number
    figures = {
        name: dict.fromkeys(part, 12.5) for name, part in NO_PROGRESS.as_json().items() if isinstance(part, dict)
    }
    return {
        **row,
        "task_id": f"train_20260101_{number:08d}",
        "status": status,
        **dict.fromkeys(("created_at", "queued_at", "started_at"), at),
        **dict.fromkeys(("finished_at", "updated_at"), at + 3600),
        "attempts": 1,
        "gpu_uuids": [gpu_uuid],
        "progress": {**figures, "warnings": []},
    }


def _attempt(task: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": f"{task['task_id']}.1",
        "task_id": task["task_id"],
        "number": 1,
        "status": AttemptStatus.ENDED,
        "token": task["task_id"],
        "node": "node",
        "directory": f"/data/tasks/{task['task_id']}/attempts/1",
        "gpu_uuids": task["gpu_uuids"],
        "gpu_indices": [0],
        "created_at": task["created_at"],
        "started_at": task["started_at"],
        "ended_at": task["finished_at"],
        "known_run_dirs": [],
    }


def fill_queue(database: Database, count: int, gpus: int) -> list[str]:
    """Create queued tasks with GPU requests of every kind; return their ids."""
    row = template(database)
    made = [
        {**row, **gpu_request, "task_id": f"train_20260101_{number:08d}", "queued_at": _START + number}
        for number, gpu_request in zip(range(count), _gpu_requests(gpus), strict=False)
    ]
    for start in range(0, count, AT_ONCE):
        with database.write() as connection:
            connection.execute(insert(tasks), made[start : start + AT_ONCE])
    _enroll(database)
    return [str(task["task_id"]) for task in made]


def _gpu_requests(gpus: int) -> Iterator[dict[str, Any]]:
    """Yield GPU requests. Of ten, six want any GPU, one four, one much memory, one a given GPU, one two given GPUs."""
    chance = random.Random(0)
    any_one = GPURequest()
    while True:
        one, other = chance.sample(range(gpus), 2)
        gpu_requests = [any_one] * 6
        gpu_requests += [
            GPURequest(count=4),
            GPURequest(min_memory=60_000),
            GPURequest((one,)),
            GPURequest((one, other), 2),
        ]
        for each in gpu_requests:
            yield {
                "gpu_count": len(each.references) or each.count,
                "min_memory": each.min_memory,
                "gpu_references": list(each.references),
            }
