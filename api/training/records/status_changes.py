"""The only changes of a task's status and of its stop: guarded statements, each with its event."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, select, update

from api.db.rows import dump, to_seconds
from api.db.tables import tasks
from api.domain.access.audit import note_change
from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.training import TRANSITIONS, EventKind, StopRung, StopState, TaskStatus, TaskSummary
from api.errors import Conflict, TaskNotFound
from api.training.records import event_store as events

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

_RUNGS = {
    StopRung.CHECKPOINT: Reason.of("the stop has reached the step checkpoint", "rung_checkpoint"),
    StopRung.TERMINATE: Reason.of("the stop has reached the step terminate", "rung_terminate"),
    StopRung.KILL: Reason.of("the stop has reached the step kill", "rung_kill"),
}


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


def request_task_stop(
    connection: Connection, task: TaskSummary, stop: StopState, now: datetime, message: ReasonOrText
) -> None:
    """Request a stop. A queued task stops immediately. A repeated request can only make the stop harder.

    `task` is its state within this transaction, which has locked it. Raise Conflict if it has finished.
    """
    note_change(before={"status": task.status}, after=_show_stop(stop))
    if task.status is TaskStatus.QUEUED:
        finished_at = to_seconds(now)
        move(connection, task.task_id, TaskStatus.STOPPED, now, stop.actor, message, finished_at=finished_at)
    elif task.status is TaskStatus.STOPPING:
        _harden(connection, task, stop, now, message)
    else:
        move(connection, task.task_id, TaskStatus.STOPPING, now, stop.actor, message, stop=dump(stop))


def _show_stop(stop: StopState) -> dict[str, Any]:
    """Return a requested stop as the audit stores it."""
    kept = {"keep_lora": True} if stop.keep_lora else {}
    return {"force": stop.force, "timeout_seconds": stop.timeout_seconds, **kept}


def _harden(connection: Connection, task: TaskSummary, stop: StopState, now: datetime, message: ReasonOrText) -> None:
    """Make a stop harder, never softer. A user's request replaces the service's own."""
    before = task.stop or stop
    takes_over = before.cause is not None and stop.cause is None
    keeps_more = stop.keep_lora and not before.keep_lora
    if not takes_over and not keeps_more and (before.force or not stop.force):
        return
    changed = replace(
        before,
        force=before.force or stop.force,
        actor=stop.actor,
        cause=stop.cause if takes_over else before.cause,
        keep_lora=before.keep_lora or stop.keep_lora,
    )
    mine = tasks.c.task_id == task.task_id
    connection.execute(update(tasks).where(mine).values(stop=dump(changed), updated_at=to_seconds(now)))
    events.append(connection, task.task_id, now, EventKind.STOP, stop.actor, message)


def record_stop_step(
    connection: Connection, before: TaskSummary, stop: StopState, attempt_uid: str, now: datetime
) -> None:
    """Record the current step of a stop, if the task, which is locked, is still stopping."""
    if before.status is not TaskStatus.STOPPING or before.stop is None:
        return
    # Changes only the rung: a harder stop may have been requested since the supervisor reported.
    values = {"stop": dump(replace(before.stop, rung=stop.rung)), "updated_at": to_seconds(now)}
    connection.execute(update(tasks).where(tasks.c.task_id == before.task_id).values(values))
    events.append(
        connection,
        before.task_id,
        now,
        EventKind.STOP,
        "supervisor",
        "" if stop.rung is None else _RUNGS[stop.rung],
        attempt_uid=attempt_uid,
        previous=before.stop.rung,
        current=stop.rung,
    )


def attempt_uid(task_id: str, number: int) -> str:
    """Return the uid of a task's attempt."""
    return f"{task_id}.{number}"


def _rejection(task_id: str, status: str | None, target: TaskStatus) -> TaskNotFound | Conflict:
    if status is None:
        return TaskNotFound.named(task_id)
    return Conflict(f"{task_id} is {status}, and cannot become {target}.", data={"status": status})


def _changed_concurrently(task_id: str) -> Conflict:
    return Conflict(f"{task_id} was changed by another request at the same time. Try again.")
