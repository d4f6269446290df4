"""Sweeps in the database: created with their trainings, stopped with them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, func, insert, select

from api.db.database import Database
from api.db.rows import dump, to_seconds, to_time
from api.db.tables import events, sweeps, tasks
from api.domain.access.audit import forget_change, note_change
from api.domain.reason import Reason
from api.domain.tasks.sweep import EarlyStop, StoredSweep, Variation
from api.domain.tasks.training import UNFINISHED, NewTask, StopState, TaskStatus
from api.errors import SweepNotFound
from api.training.attempts.stop_delivery import STOP_REQUESTED
from api.training.records.status_changes import request_task_stop
from api.training.records.task_queries import find_summary
from api.training.records.task_store import insert_task
from api.training.records.usage_store import Bound, lock_owner, require_queue_limit

_VARIED = TypeAdapter(tuple[Variation, ...])
_RULE = TypeAdapter(EarlyStop | None)

#: The code of the reason with which the rule of a sweep stops a training.
UNPROMISING = "sweep_unpromising"


@dataclass(frozen=True, slots=True)
class SweptTraining:
    """A training of a sweep, as the rule of its sweep needs it."""

    task_id: str
    status: TaskStatus
    values: Mapping[str, Any]
    step: int | None
    total_steps: int | None


class SweepStore:
    """The table of sweeps, and the trainings that belong to them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, sweep: StoredSweep, trainings: Sequence[NewTask], now: datetime, actor: str, bound: Bound | None
    ) -> None:
        """Queue all trainings of a new sweep, or none.

        Raise OverQuota if the owner would then have more queued tasks than `bound`, or DatasetNotFound.
        """
        with self._database.write() as connection:
            lock_owner(connection, bound)
            row = {
                "sweep_id": sweep.sweep_id,
                "name": sweep.name,
                "owner": sweep.owner,
                "varied": [asdict(one) for one in sweep.varied],
                "early_stop": dump(sweep.early_stop),
                "created_at": to_seconds(now),
            }
            connection.execute(insert(sweeps).values(row))
            for new in trainings:
                insert_task(connection, new, now, actor)
            require_queue_limit(connection, bound)
            # The audit has one row for all of them.
            forget_change()
            created = {name: row[name] for name in ("name", "owner", "varied", "early_stop")}
            note_change(about=sweep.sweep_id, after={**created, "trainings": [new.task_id for new in trainings]})

    def get(self, sweep_id: str) -> StoredSweep:
        """Return a sweep. Raise SweepNotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(sweeps).where(sweeps.c.sweep_id == sweep_id)).one_or_none()
        if row is None:
            raise SweepNotFound.named(sweep_id)
        return _read(row)

    def page(self, only_of: str | None, limit: int, offset: int, cursor: int | None) -> tuple[list[StoredSweep], int]:
        """Return sweeps, newest first, and the total number. With `only_of`, only those of this user."""
        conditions = [] if only_of is None else [sweeps.c.owner == only_of]
        query = select(sweeps).where(*conditions).order_by(sweeps.c.serial.desc()).limit(limit)
        query = query.offset(offset) if cursor is None else query.where(sweeps.c.serial < cursor)
        with self._database.read() as connection:
            total = connection.scalar(select(func.count()).select_from(sweeps).where(*conditions)) or 0
            return [_read(row) for row in connection.execute(query)], total

    def counts(self, sweep_ids: Collection[str]) -> dict[str, dict[TaskStatus, int]]:
        """Return the number of trainings of each of these sweeps, by status."""
        query = (
            select(tasks.c.sweep_id, tasks.c.status, func.count().label("number"))
            .where(tasks.c.sweep_id.in_(sweep_ids))
            .group_by(tasks.c.sweep_id, tasks.c.status)
        )
        found: dict[str, dict[TaskStatus, int]] = {sweep_id: {} for sweep_id in sweep_ids}
        with self._database.read() as connection:
            for row in connection.execute(query):
                found[row.sweep_id][TaskStatus(row.status)] = row.number
        return found

    def stop(self, sweep_id: str, stop: StopState, now: datetime) -> None:
        """Request a stop of every unfinished training of a sweep, all at once."""
        unfinished = (
            select(tasks.c.task_id)
            .where(tasks.c.sweep_id == sweep_id, tasks.c.status.in_(UNFINISHED))
            .order_by(tasks.c.serial)
            .with_for_update()
        )
        with self._database.write() as connection:
            stopped = list(connection.scalars(unfinished))
            for task_id in stopped:
                request_task_stop(connection, find_summary(connection, task_id), stop, now, STOP_REQUESTED)
            forget_change()
            note_change(about=sweep_id, after={"stopped": stopped})

    def with_rule(self) -> list[tuple[StoredSweep, list[SweptTraining]]]:
        """Return the sweeps whose rule may stop a running training, with all their trainings."""
        running = select(tasks.c.sweep_id).where(tasks.c.status == TaskStatus.RUNNING, tasks.c.sweep_id.is_not(None))
        query = select(sweeps).where(sweeps.c.early_stop.is_not(None), sweeps.c.sweep_id.in_(running))
        with self._database.read() as connection:
            return [(_read(row), _trainings(connection, row.sweep_id)) for row in connection.execute(query).all()]

    def stop_unpromising(self, task_id: str, stop: StopState, now: datetime, reason: Reason) -> bool:
        """Stop a running training by the rule of its sweep. Return False if it does not run, or was stopped so before.

        A user who resumes it overrules the rule.
        """
        with self._database.write() as connection:
            task = find_summary(connection, task_id, lock=True)
            if task.status is not TaskStatus.RUNNING or _was_unpromising(connection, task_id):
                return False
            request_task_stop(connection, task, stop, now, reason)
            return True


def _was_unpromising(connection: Connection, task_id: str) -> bool:
    code = events.c.message_code["code"].as_string()
    query = select(events.c.task_id).where(events.c.task_id == task_id, code == UNPROMISING)
    return connection.execute(query.limit(1)).one_or_none() is not None


def _trainings(connection: Connection, sweep_id: str) -> list[SweptTraining]:
    query = select(
        tasks.c.task_id,
        tasks.c.status,
        tasks.c.sweep_values,
        tasks.c.progress["progress"]["current_step"].as_integer().label("step"),
        func.coalesce(
            tasks.c.plan["total_steps"].as_integer(), tasks.c.progress["progress"]["total_steps"].as_integer()
        ).label("total"),
    ).where(tasks.c.sweep_id == sweep_id)
    return [
        SweptTraining(row.task_id, TaskStatus(row.status), row.sweep_values, row.step, row.total)
        for row in connection.execute(query.order_by(tasks.c.serial))
    ]


def _read(row: Row[Any]) -> StoredSweep:
    return StoredSweep(
        row.sweep_id,
        row.name,
        row.owner,
        _VARIED.validate_python(row.varied),
        _RULE.validate_python(row.early_stop),
        to_time(row.created_at),
        row.serial,
    )
