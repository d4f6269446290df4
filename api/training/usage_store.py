"""What the owners of trainings use, by the database; and the bounds on it, held inside of the claiming transaction."""

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
from api.domain.training import TaskStatus
from api.domain.usage import DAY_SECONDS, GPUHold, Owner

#: The first key of PostgreSQL's advisory locks on an owner ("quot" in hexadecimal); the second is made of the owner.
_OWNERS = 0x7175_6F74

_TAKE_TURNS = text("SELECT pg_advisory_xact_lock(:space, :owner)")

_SINCE, _NOW, _WHO = bindparam("since", type_=Float), bindparam("now", type_=Float), bindparam("who", type_=String)
_OF_TASKS = attempts.join(tasks, tasks.c.task_id == attempts.c.task_id)
_GPUS = func.json_array_length(attempts.c.gpu_uuids, type_=Integer)

# Made once: to build a statement anew takes longer than to execute it.
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
    """The seconds between both that lie between `since` and `now`."""
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
    """What was asked for is more than a bound permits, counted in the transaction that would have taken it."""

    def __init__(self, owner: str, limit: int, used: int) -> None:
        super().__init__(f"{owner} uses {used} of {limit}")
        self.owner = owner
        self.limit = limit
        self.used = used


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that an owner may have of something."""

    owner: str
    most: int


class UsageStore:
    """What owners use. All questions are answered by an index, however many trainings there were."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def held(self) -> dict[str, int]:
        """How many GPUs each owner's open attempts have."""
        with self._database.read() as connection:
            return {row.owner: row.gpus for row in connection.execute(_HELD)}

    def queued(self) -> dict[str, int]:
        """How many tasks of each owner wait."""
        with self._database.read() as connection:
            return {row.owner: row.tasks for row in connection.execute(_QUEUED)}

    def queued_by(self, owner: str) -> int:
        """How many tasks of this owner wait."""
        with self._database.read() as connection:
            return _count(connection, _QUEUED_BY, owner)

    def gpu_seconds(self, now: datetime) -> dict[Owner, float]:
        """GPU seconds of the last day by owner: those of attempts that go on up to now, of deleted tasks too."""
        window, spent = _window(now), dict[Owner, float]()
        with self._database.read() as connection:
            for query in (_SPENT, _SPENT_BEFORE):
                for row in connection.execute(query, window):
                    spent[row.owner] = spent.get(row.owner, 0.0) + row.seconds
        return spent

    def holds(self, owner: str, now: datetime) -> list[GPUHold]:
        """The attempts of this owner that had GPUs in the last day."""
        with self._database.read() as connection:
            rows = connection.execute(_HOLDS, {**_window(now), "who": owner})
            return [GPUHold(row.gpus, row.began_at, row.ended_at) for row in rows]

    def owned_tasks(self) -> Iterable[tuple[str, str, float | None]]:
        """The id and the owner of each task that has one, and for a finished one the Unix seconds of its end."""
        query = select(tasks.c.task_id, tasks.c.owner, tasks.c.finished_at).where(tasks.c.owner.is_not(None))
        with self._database.read() as connection:
            return [(row.task_id, row.owner, row.finished_at) for row in connection.execute(query)]


def _window(now: datetime) -> dict[str, float]:
    seconds = to_seconds(now)
    return {"since": seconds - DAY_SECONDS, "now": seconds}


def _count(connection: Connection, query: Select[Any], owner: str) -> int:
    return connection.scalar(query, {"who": owner}) or 0


def take_turns(connection: Connection, bound: Bound | None) -> None:
    """Lets nobody else take anything of this owner's before the transaction ends; None has no bound, and no turns.

    To be called before anything is locked, so that no two transactions wait for each other.
    """
    # On SQLite a writing transaction is alone already.
    if bound is not None and connection.dialect.name == "postgresql":
        owner = zlib.crc32(bound.owner.encode()) - 2**31
        connection.execute(_TAKE_TURNS, {"space": _OWNERS, "owner": owner})


def require_gpus(connection: Connection, bound: Bound | None, more: int) -> None:
    """Lets so many GPUs more pass, if the owner then has no more than the bound. Raises OverQuota."""
    if bound is not None and (held := _count(connection, _HELD_BY, bound.owner)) + more > bound.most:
        raise OverQuota(bound.owner, bound.most, held)


def require_place(connection: Connection, bound: Bound | None) -> None:
    """Lets the queue pass as it is, if no more tasks of the owner wait than the bound. Raises OverQuota."""
    if bound is not None and (queued := _count(connection, _QUEUED_BY, bound.owner)) > bound.most:
        raise OverQuota(bound.owner, bound.most, queued - 1)


def keep_use(connection: Connection, task_id: str, now: datetime) -> None:
    """Keeps what a task used in the last day, which is about to be deleted: nobody gets hours back by that."""
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
