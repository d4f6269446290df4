"""The only changes of a task's status: guarded statements, each with its event."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, select, update

from api.db.rows import to_seconds
from api.db.tables import tasks
from api.domain.reason import ReasonOrText
from api.domain.training import TRANSITIONS, EventKind, TaskStatus
from api.errors import Conflict, TaskNotFound
from api.training import event_store as events

# Built once: building a statement takes longer than executing it.
_MINE = tasks.c.task_id == bindparam("moved")
_STATUS = select(tasks.c.status).where(_MINE).with_for_update()
_MOVE = update(tasks).where(_MINE, tasks.c.status == bindparam("before"))
_START = (
    update(tasks)
    .where(_MINE, tasks.c.status == TaskStatus.QUEUED)
    .values(status=TaskStatus.STARTING, attempts=tasks.c.attempts + 1, preempted_by=None)
    .returning(tasks.c.serial, tasks.c.attempts)
)


def move(
    connection: Connection,
    task_id: str,
    target: TaskStatus,
    now: datetime,
    actor: str,
    message: ReasonOrText,
    *,
    previous: str | None = None,
    attempt_uid: str | None = None,
    **values: Any,
) -> TaskStatus:
    """Move a task to a status that may follow its present one. Record an event and return the previous status.

    `previous` is the present status if the caller has read it under the task's lock. Raise TaskNotFound, or Conflict if
    the transition is not allowed.
    """
    previous = previous or connection.scalar(_STATUS, {"moved": task_id})
    if previous is None or target not in TRANSITIONS[TaskStatus(previous)]:
        raise _rejection(task_id, previous, target)
    expressions = {name: value for name, value in values.items() if isinstance(value, ColumnElement)}
    plain = {name: value for name, value in values.items() if name not in expressions}
    guarded = {"moved": task_id, "before": previous, "status": target, "updated_at": to_seconds(now), **plain}
    if connection.execute(_MOVE.values(expressions) if expressions else _MOVE, guarded).rowcount == 0:
        raise _changed_concurrently(task_id)
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
    connection: Connection, task_id: str, gpu_uuids: Sequence[str], now: datetime, message: ReasonOrText
) -> tuple[int, int]:
    """Move a queued task to its next attempt and record an event, in one statement.

    Return the task's serial number and the attempt's. Raise TaskNotFound, or Conflict if it is not queued.
    """
    values = {"moved": task_id, "updated_at": to_seconds(now), "gpu_uuids": list(gpu_uuids)}
    started = connection.execute(_START, values).one_or_none()
    if started is None:
        status = connection.scalar(_STATUS, {"moved": task_id})
        # If it is queued now, it was put back between the two statements.
        raise (
            _changed_concurrently(task_id)
            if status == TaskStatus.QUEUED
            else _rejection(task_id, status, TaskStatus.STARTING)
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
    """Return the uid of a task's attempt."""
    return f"{task_id}.{number}"


def _rejection(task_id: str, status: str | None, target: TaskStatus) -> TaskNotFound | Conflict:
    if status is None:
        return TaskNotFound.named(task_id)
    return Conflict(f"{task_id} is {status}, and cannot become {target}.", data={"status": status})


def _changed_concurrently(task_id: str) -> Conflict:
    return Conflict(f"{task_id} was changed by another request at the same time. Try again.")
