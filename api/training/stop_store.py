"""Stop requests and the steps of a stop, in a transaction that has locked the task."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, update

from api.db.rows import dump, to_seconds
from api.db.tables import tasks
from api.domain.audit import note_change
from api.domain.reason import Reason, ReasonOrText
from api.domain.training import EventKind, StopRung, StopState, TaskStatus, TaskSummary
from api.training import event_store as events
from api.training.moves import move

_RUNGS = {
    StopRung.CHECKPOINT: Reason.of("the stop has reached the step checkpoint", "rung_checkpoint"),
    StopRung.TERMINATE: Reason.of("the stop has reached the step terminate", "rung_terminate"),
    StopRung.KILL: Reason.of("the stop has reached the step kill", "rung_kill"),
}


def request_task_stop(
    connection: Connection, task: TaskSummary, stop: StopState, now: datetime, message: ReasonOrText
) -> None:
    """Request a stop. A queued task stops immediately. A repeated request can only make the stop harder.

    `task` is its state within this transaction, which has locked it. Raise Conflict if it has finished.
    """
    note_change(before={"status": task.status}, after={"force": stop.force, "timeout_seconds": stop.timeout_seconds})
    if task.status is TaskStatus.QUEUED:
        finished_at = to_seconds(now)
        move(connection, task.task_id, TaskStatus.STOPPED, now, stop.actor, message, finished_at=finished_at)
    elif task.status is TaskStatus.STOPPING:
        _harden(connection, task, stop, now, message)
    else:
        move(connection, task.task_id, TaskStatus.STOPPING, now, stop.actor, message, stop=dump(stop))


def _harden(connection: Connection, task: TaskSummary, stop: StopState, now: datetime, message: ReasonOrText) -> None:
    """Make a stop harder, never softer. A user's request replaces the service's own."""
    before = task.stop or stop
    takes_over = before.cause is not None and stop.cause is None
    if not takes_over and (before.force or not stop.force):
        return
    changed = replace(
        before, force=before.force or stop.force, actor=stop.actor, cause=stop.cause if takes_over else before.cause
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
