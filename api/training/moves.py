"""Moves tasks from status to status, which nothing else does: by guarded statements, each with its event."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, select, update

from api.db.rows import to_seconds
from api.db.tables import tasks
from api.domain.reason import Words
from api.domain.training import TRANSITIONS, EventKind, TaskStatus
from api.errors import Conflict, TaskNotFound
from api.training import event_store as events

# Made once: to build a statement anew takes longer than to execute it.
_MINE = tasks.c.task_id == bindparam("wanted")
_STATUS = select(tasks.c.status).where(_MINE).with_for_update()
_MOVE = update(tasks).where(_MINE, tasks.c.status == bindparam("before"))
_START = (
    update(tasks)
    .where(_MINE, tasks.c.status == TaskStatus.QUEUED)
    .values(status=TaskStatus.STARTING, attempts=tasks.c.attempts + 1)
    .returning(tasks.c.serial, tasks.c.attempts)
)


def move(
    connection: Connection,
    task_id: str,
    target: TaskStatus,
    now: datetime,
    actor: str,
    message: Words,
    *,
    previous: str | None = None,
    attempt_uid: str | None = None,
    **values: Any,
) -> TaskStatus:
    """Moves a task to a status that may follow its present one, and records that; returns the status that it had.
    `previous` is its present one where the caller has read that under the task's lock.

    Raises TaskNotFound, and Conflict when the table of transitions does not allow it.
    """
    previous = previous or connection.scalar(_STATUS, {"wanted": task_id})
    if previous is None or target not in TRANSITIONS[TaskStatus(previous)]:
        raise _refusal(task_id, previous, target)
    expressions = {name: value for name, value in values.items() if isinstance(value, ColumnElement)}
    plain = {name: value for name, value in values.items() if name not in expressions}
    guarded = {"wanted": task_id, "before": previous, "status": target, "updated_at": to_seconds(now), **plain}
    if connection.execute(_MOVE.values(expressions) if expressions else _MOVE, guarded).rowcount == 0:
        raise _changed_meanwhile(task_id)
    events.append(
        connection,
        task_id,
        now,
        EventKind.STATUS,
        actor,
        message,
        attempt_uid=attempt_uid,
        previous=previous,
        current=target,
    )
    return TaskStatus(previous)


def start(
    connection: Connection, task_id: str, gpu_uuids: Sequence[str], now: datetime, message: Words
) -> tuple[int, int]:
    """Moves a waiting task to its next attempt, in one statement, and records that; returns the task's serial number
    and the attempt's. Raises TaskNotFound, and Conflict when it does not wait any more.
    """
    values = {"wanted": task_id, "updated_at": to_seconds(now), "gpu_uuids": list(gpu_uuids)}
    started = connection.execute(_START, values).one_or_none()
    if started is None:
        status = connection.scalar(_STATUS, {"wanted": task_id})
        # One that waits now did not when it was to be moved: it was put back in this very moment.
        raise (
            _changed_meanwhile(task_id)
            if status == TaskStatus.QUEUED
            else _refusal(task_id, status, TaskStatus.STARTING)
        )
    events.append(
        connection,
        task_id,
        now,
        EventKind.STATUS,
        "scheduler",
        message,
        attempt_uid=attempt_uid(task_id, started.attempts),
        previous=TaskStatus.QUEUED,
        current=TaskStatus.STARTING,
    )
    return started.serial, started.attempts


def attempt_uid(task_id: str, number: int) -> str:
    """The uid of a task's attempt with this number."""
    return f"{task_id}.{number}"


def _refusal(task_id: str, status: str | None, target: TaskStatus) -> TaskNotFound | Conflict:
    if status is None:
        return TaskNotFound.named(task_id)
    return Conflict(f"{task_id} is {status}, and cannot become {target}.", data={"status": status})


def _changed_meanwhile(task_id: str) -> Conflict:
    return Conflict(f"{task_id} was changed by somebody else in this moment: ask again.")
