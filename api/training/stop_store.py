"""Stops of tasks: asked for, asked for again, and carried out rung by rung; in a transaction that holds the task."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, update

from api.db.rows import dump, to_seconds
from api.db.tables import tasks
from api.domain.audit import note_change
from api.domain.reason import Reason, Words
from api.domain.training import EventKind, StopRung, StopState, TaskStatus, TaskSummary
from api.training import event_store as events
from api.training.moves import move

_RUNGS = {
    StopRung.CHECKPOINT: Reason.of("the stop is on the rung checkpoint", "rung_checkpoint"),
    StopRung.TERMINATE: Reason.of("the stop is on the rung terminate", "rung_terminate"),
    StopRung.KILL: Reason.of("the stop is on the rung kill", "rung_kill"),
}


def ask_to_stop(connection: Connection, task: TaskSummary, stop: StopState, now: datetime, message: Words) -> None:
    """Has the task stop: at once if it waits; asked again, the harder way holds. Raises Conflict when it has finished.

    `task` is as it is within this transaction, which has locked it.
    """
    note_change(before={"status": task.status}, after={"force": stop.force, "timeout_seconds": stop.timeout_seconds})
    if task.status is TaskStatus.QUEUED:
        finished_at = to_seconds(now)
        move(connection, task.task_id, TaskStatus.STOPPED, now, stop.actor, message, finished_at=finished_at)
    elif task.status is TaskStatus.STOPPING:
        _harden(connection, task, stop, now, message)
    else:
        move(connection, task.task_id, TaskStatus.STOPPING, now, stop.actor, message, stop=dump(stop))


def _harden(connection: Connection, task: TaskSummary, stop: StopState, now: datetime, message: Words) -> None:
    """A stop that is asked for again gets harder, never softer; a user's wish goes before the service's own."""
    before = task.stop or stop
    takes_over = before.cause is not None and stop.cause is None
    if not takes_over and (before.force or not stop.force):
        return
    kept = replace(
        before, force=before.force or stop.force, actor=stop.actor, cause=stop.cause if takes_over else before.cause
    )
    mine = tasks.c.task_id == task.task_id
    connection.execute(update(tasks).where(mine).values(stop=dump(kept), updated_at=to_seconds(now)))
    events.append(connection, task.task_id, now, EventKind.STOP, stop.actor, message)


def note_rung(connection: Connection, before: TaskSummary, stop: StopState, attempt_uid: str, now: datetime) -> None:
    """Records the rung that a stop is on, if the task, which is locked, still stops."""
    if before.status is not TaskStatus.STOPPING or before.stop is None:
        return
    # Only the rung: the stop may have been asked for again, harder, since its supervisor was looked at.
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
