"""Events of tasks. They are only appended, never changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from api.db.database import APPENDED, Database
from api.db.rows import dump_message, read_event, to_seconds
from api.db.tables import events, tasks
from api.domain.reason import ReasonOrText
from api.domain.tasks.training import EventKind, TaskEvent, TaskStatus
from api.errors import TaskNotFound
from api.streaming.models import EventPosition, EventWithStatus

#: Built once, like all statements of a claim: building a statement takes longer than executing it.
_APPEND = insert(events)
_IDS_ABOVE = select(events.c.id).where(events.c.id > bindparam("above")).order_by(events.c.id).limit(bindparam("limit"))
_EARLIER = events.alias()
_STATUS_BY_THEN = (
    select(_EARLIER.c.current)
    .where(_EARLIER.c.task_id == events.c.task_id, _EARLIER.c.type == EventKind.STATUS, _EARLIER.c.id <= events.c.id)
    .order_by(_EARLIER.c.id.desc())
    .limit(1)
    .scalar_subquery()
    .label("status_by_then")
)
_EVENTS = select(events, _STATUS_BY_THEN)
_WITH_IDS = _EVENTS.where(events.c.id.in_(bindparam("ids", expanding=True))).order_by(events.c.id)


def append(
    connection: Connection,
    task_id: str,
    now: datetime,
    kind: EventKind,
    actor: str,
    message: ReasonOrText,
    *,
    attempt_uid: str | None = None,
    previous: str | None = None,
    current: str | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Append one event."""
    row = {
        "task_id": task_id,
        "attempt_uid": attempt_uid,
        "at": to_seconds(now),
        "type": kind,
        "previous": previous,
        "current": current,
        "actor": actor,
        **dump_message(message, "message"),
        "details": details,
    }
    connection.execute(_APPEND, row)
    connection.info[APPENDED] = True


def list_events(
    connection: Connection, task_id: str, after: int, limit: int, *, is_newest_first: bool = False
) -> list[TaskEvent]:
    """Return events of a task that follow the id `after`, oldest first, or newest first; 0: from the start."""
    query = select(events).where(events.c.task_id == task_id)
    if not is_newest_first:
        query = query.where(events.c.id > after).order_by(events.c.id)
    else:
        query = query.where(events.c.id < after) if after else query
        query = query.order_by(events.c.id.desc())
    return [read_event(row) for row in connection.execute(query.limit(limit))]


class EventStore:
    """Reads the events of all tasks, for subscribers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def latest_id(self) -> int:
        """Return the highest id, or 0 if there are no events."""
        with self._database.read() as connection:
            return connection.scalar(select(func.max(events.c.id))) or 0

    def ids_above(self, id_: int, limit: int) -> list[int]:
        """Return up to `limit` ids above this one, ascending."""
        with self._database.read() as connection:
            return list(connection.scalars(_IDS_ABOVE, {"above": id_, "limit": limit}))

    def get(self, ids: Sequence[int]) -> list[EventWithStatus]:
        """Return the existing events with these ids, ascending."""
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(_WITH_IDS, {"ids": ids})]

    def position(self, task_id: str, after: int | None, limit: int) -> EventPosition:
        """Return events of a task with an id above `after`. Raise TaskNotFound.

        If `after` is None or too high, return the event of its present status.
        """
        with self._database.read() as connection:
            status = connection.scalar(select(tasks.c.status).where(tasks.c.task_id == task_id))
            if status is None:
                raise TaskNotFound.named(task_id)
            mine = _EVENTS.where(events.c.task_id == task_id)
            latest = connection.scalar(select(func.max(events.c.id)).where(events.c.task_id == task_id)) or 0
            if after is None or after > latest:
                latest_status = mine.where(events.c.type == EventKind.STATUS).order_by(events.c.id.desc()).limit(1)
                found = tuple(_read(row) for row in connection.execute(latest_status))
                return EventPosition(TaskStatus(status), found, latest, has_more=False)
            rows = connection.execute(mine.where(events.c.id > after).order_by(events.c.id).limit(limit))
            found = tuple(_read(row) for row in rows)
            last_id = found[-1].event.id if found else after
            return EventPosition(TaskStatus(status), found, last_id, has_more=last_id < latest)


def _read(row: Any) -> EventWithStatus:
    # The first event of every task gives it a status.
    return EventWithStatus(read_event(row), TaskStatus(row.status_by_then or TaskStatus.QUEUED))
