"""Events of tasks: appended, never changed."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from api.models.training import EventKind, TaskEvent
from api.storage.rows import clean, read_event, to_seconds
from api.storage.tables import events


def append(
    connection: Connection,
    task_id: str,
    now: datetime,
    kind: EventKind,
    actor: str,
    message: str,
    *,
    attempt_uid: str | None = None,
    previous: str | None = None,
    current: str | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Appends one event."""
    row = {
        "task_id": task_id,
        "attempt_uid": attempt_uid,
        "at": to_seconds(now),
        "type": kind,
        "previous": previous,
        "current": current,
        "actor": actor,
        "message": clean(message),
        "details": details,
    }
    connection.execute(insert(events).values(row))


def list_events(connection: Connection, task_id: str, after: int, limit: int) -> list[TaskEvent]:
    """The events of a task with an id above `after`, oldest first."""
    query = select(events).where(events.c.task_id == task_id, events.c.id > after).order_by(events.c.id).limit(limit)
    return [read_event(row) for row in connection.execute(query)]
