"""Usage of owners in the database, and limits that are enforced within the claiming transaction."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    Select,
    String,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    union_all,
)

from api.db.database import Database
from api.db.rows import to_seconds
from api.db.tables import attempts, past_use, tasks
from api.domain.tasks.training import TaskStatus
from api.domain.tasks.usage import DAY_SECONDS, GPUHold, Owner

#: First key of PostgreSQL's advisory locks on an owner ("quot" in hexadecimal). The second one is derived from the
#: owner.
_OWNERS = 0x7175_6F74

_LOCK_OWNER = text("SELECT pg_advisory_xact_lock(:space, :owner)")

_SINCE, _NOW, _WHO = bindparam("since", type_=Float), bindparam("now", type_=Float), bindparam("who", type_=String)
_OF_TASKS = attempts.join(tasks, tasks.c.task_id == attempts.c.task_id)
_GPUS = func.json_array_length(attempts.c.gpu_uuids, type_=Integer)

# Built once: building a statement takes longer than executing it.
_HELD = (
    select(tasks.c.owner, func.sum(_GPUS).label("gpus"))
    .select_from(_OF_TASKS)
    .where(attempts.c.ended_at.is_(None), tasks.c.owner.is_not(None))
    .group_by(tasks.c.owner)
)
_HELD_BY = (
    select(func.coalesce(func.sum(_GPUS), 0))
    .select_from(_OF_TASKS)
    .where(attempts.c.ended_at.is_(None), tasks.c.owner == _WHO)
)
_QUEUED = (
    select(tasks.c.owner, func.count().label("tasks"))
    .where(tasks.c.status == TaskStatus.QUEUED, tasks.c.owner.is_not(None))
    .group_by(tasks.c.owner)
)
_QUEUED_BY = select(func.count()).select_from(tasks).where(tasks.c.owner == _WHO, tasks.c.status == TaskStatus.QUEUED)


def _touches(began: ColumnElement[float], ended: ColumnElement[float]) -> ColumnElement[bool]:
    return or_(ended.is_(None), ended > _SINCE) & (began < _NOW)


def _seconds(began: ColumnElement[float], ended: ColumnElement[float]) -> ColumnElement[float]:
    """Return the seconds between both that lie between `since` and `now`."""
    last = case((or_(ended.is_(None), ended > _NOW), _NOW), else_=ended)
    first = case((began < _SINCE, _SINCE), else_=began)
    return last - first


_SPENT = (
    select(tasks.c.owner, func.sum(_GPUS * _seconds(attempts.c.created_at, attempts.c.ended_at)).label("seconds"))
    .select_from(_OF_TASKS)
    .where(_touches(attempts.c.created_at, attempts.c.ended_at))
    .group_by(tasks.c.owner)
)
_SPENT_BEFORE = (
    select(
        past_use.c.owner,
        func.sum(past_use.c.gpus * _seconds(past_use.c.began_at, past_use.c.ended_at)).label("seconds"),
    )
    .where(_touches(past_use.c.began_at, past_use.c.ended_at))
    .group_by(past_use.c.owner)
)
_HOLDS = union_all(
    select(_GPUS.label("gpus"), attempts.c.created_at.label("began_at"), attempts.c.ended_at)
    .select_from(_OF_TASKS)
    .where(tasks.c.owner == _WHO, _touches(attempts.c.created_at, attempts.c.ended_at)),
    select(past_use.c.gpus, past_use.c.began_at, past_use.c.ended_at).where(
        past_use.c.owner == _WHO, _touches(past_use.c.began_at, past_use.c.ended_at)
    ),
)


class OverQuota(Exception):
    """The request exceeds a limit, counted in the transaction that would have stored it."""

    def __init__(self, owner: str, limit: int, used: int) -> None:
        super().__init__(f"{owner} uses {used} of {limit}")
        self.owner = owner
        self.limit = limit
        self.used = used


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit of one owner."""

    owner: str
    most: int


class UsageStore:
    """Reads the usage of owners. Every query uses an index, so the number of past trainings does not matter."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def held(self) -> dict[str, int]:
        """Return the number of GPUs of each owner's open attempts."""
        with self._database.read() as connection:
            return {row.owner: row.gpus for row in connection.execute(_HELD)}

    def queued(self) -> dict[str, int]:
        """Return the number of queued tasks of each owner."""
        with self._database.read() as connection:
            return {row.owner: row.tasks for row in connection.execute(_QUEUED)}

    def queued_by(self, owner: str) -> int:
        """Return the number of queued tasks of this owner."""
        with self._database.read() as connection:
            return _count(connection, _QUEUED_BY, owner)

    def gpu_seconds(self, now: datetime) -> dict[Owner, float]:
        """Return GPU seconds of the last day by owner, including running attempts and deleted tasks."""
        window, spent = _window(now), dict[Owner, float]()
        with self._database.read() as connection:
            for query in (_SPENT, _SPENT_BEFORE):
                for row in connection.execute(query, window):
                    spent[row.owner] = spent.get(row.owner, 0.0) + row.seconds
        return spent

    def holds(self, owner: str, now: datetime) -> list[GPUHold]:
        """Return the attempts of this owner that had GPUs in the last day."""
        with self._database.read() as connection:
            rows = connection.execute(_HOLDS, {**_window(now), "who": owner})
            return [GPUHold(row.gpus, row.began_at, row.ended_at) for row in rows]

    def owned_tasks(self) -> Iterable[tuple[str, str, float | None]]:
        """Return id, owner and end time (Unix seconds, None while unfinished) of each task with an owner."""
        query = select(tasks.c.task_id, tasks.c.owner, tasks.c.finished_at).where(tasks.c.owner.is_not(None))
        with self._database.read() as connection:
            return [(row.task_id, row.owner, row.finished_at) for row in connection.execute(query)]


def _window(now: datetime) -> dict[str, float]:
    seconds = to_seconds(now)
    return {"since": seconds - DAY_SECONDS, "now": seconds}


def _count(connection: Connection, query: Select[Any], owner: str) -> int:
    return connection.scalar(query, {"who": owner}) or 0


def lock_owner(connection: Connection, bound: Bound | None) -> None:
    """Lock the owner until the transaction ends. Without a limit, nothing is locked.

    Call it before locking anything else, to avoid deadlocks.
    """
    # SQLite allows only one writing transaction anyway.
    if bound is not None and connection.dialect.name == "postgresql":
        owner = zlib.crc32(bound.owner.encode()) - 2**31
        connection.execute(_LOCK_OWNER, {"space": _OWNERS, "owner": owner})


def require_gpus(connection: Connection, bound: Bound | None, more: int) -> None:
    """Raise OverQuota if this many more GPUs exceed the limit."""
    if bound is not None and (held := _count(connection, _HELD_BY, bound.owner)) + more > bound.most:
        raise OverQuota(bound.owner, bound.most, held)


def require_queue_limit(connection: Connection, bound: Bound | None) -> None:
    """Raise OverQuota if more tasks of the owner are queued than the limit."""
    if bound is not None and (queued := _count(connection, _QUEUED_BY, bound.owner)) > bound.most:
        raise OverQuota(bound.owner, bound.most, queued - 1)


def store_past_use(connection: Connection, task_id: str, now: datetime) -> None:
    """Store the usage of a task that is being deleted, so that the deletion does not restore quota."""
    since = to_seconds(now) - DAY_SECONDS
    used = (
        select(
            tasks.c.owner, _GPUS, attempts.c.created_at, func.coalesce(attempts.c.ended_at, literal(to_seconds(now)))
        )
        .select_from(_OF_TASKS)
        .where(attempts.c.task_id == task_id, tasks.c.owner.is_not(None), attempts.c.ended_at > since)
    )
    connection.execute(insert(past_use).from_select(["owner", "gpus", "began_at", "ended_at"], used))
    connection.execute(delete(past_use).where(past_use.c.ended_at < since))
