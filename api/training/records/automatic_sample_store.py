"""Automatic samples of trainings in the database: what is rendered, and for which saved models."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, or_, select, update

from api.db.database import Database
from api.db.insertion import insert_missing
from api.db.rows import dump_message, read_code, to_seconds, to_time
from api.db.saved_tables import sample_orders as orders
from api.db.saved_tables import sampled_models as models
from api.db.tables import tasks
from api.domain.reason import ReasonCode, ReasonOrText
from api.domain.samples.sample_set import SampleOrder, SamplingSpec
from api.domain.tasks.training import FINISHED, EventKind
from api.training.records import event_store as events


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """The automatic samples of a training, as they are stored."""

    task_id: str  #: the training
    order: SampleOrder
    since: datetime  #: models that were saved before are left out
    problem: str | None = None  #: why samples are late; None: they are not
    problem_code: ReasonCode | None = None


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A saved model of a training with automatic samples."""

    path: str
    name: str
    is_due: bool  #: whether a task is still to be created
    sampling_id: str | None  #: the task that renders it; None: none


def put_order(connection: Connection, task_id: str, order: SampleOrder | None, now: datetime) -> None:
    """Replace the automatic samples of a training; None ends them. Models that are due stay due."""
    mine = orders.c.task_id == task_id
    if order is None:
        connection.execute(delete(orders).where(mine))
        connection.execute(update(models).where(models.c.task_id == task_id).values(is_due=False))
        return
    row = {
        "sample_set": order.sample_set,
        "version": order.version,
        "every": order.every,
        "trigger": order.trigger,
        "spec": order.spec.as_json(),
        "settled_at": None,
    }
    if connection.execute(update(orders).where(mine).values(row)).rowcount == 0:
        insert_missing(connection, orders, [{**row, "task_id": task_id, "created_at": to_seconds(now)}])


def find_order(connection: Connection, task_id: str) -> StoredOrder | None:
    """Return the automatic samples of a training, or None if it has none."""
    row = connection.execute(select(orders).where(orders.c.task_id == task_id)).one_or_none()
    return None if row is None else _read(row)


class SampleOrderStore:
    """The tables of automatic samples."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, task_id: str) -> StoredOrder | None:
        """Return the automatic samples of a training, or None if it has none."""
        with self._database.read() as connection:
            return find_order(connection, task_id)

    def unsettled(self) -> list[StoredOrder]:
        """Return the automatic samples of trainings that may still save models or have late samples."""
        is_open = or_(
            tasks.c.status.not_in(FINISHED), orders.c.settled_at.is_(None), orders.c.settled_at < tasks.c.finished_at
        )
        query = select(orders).join(tasks, tasks.c.task_id == orders.c.task_id)
        # A queued training without attempts has saved nothing.
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(query.where(is_open, tasks.c.attempts > 0))]

    def note_models(self, task_id: str, found: Sequence[tuple[str, str]]) -> list[KnownModel]:
        """Add new saved models, given by path and name in the order of their age. Return all known ones, by age.

        Of each `every` models, the last one is due.
        """
        with self._database.write(is_audited=False) as connection:
            # Locked, so that two servers do not number the same models differently.
            every = connection.scalar(select(orders.c.every).where(orders.c.task_id == task_id).with_for_update())
            last = connection.scalar(select(func.max(models.c.ordinal)).where(models.c.task_id == task_id)) or 0
            paths = {model.path for model in _models(connection, task_id)}
            new = [each for each in found if each[0] not in paths]
            rows = [
                {
                    "task_id": task_id,
                    "path": path,
                    "name": name,
                    "ordinal": ordinal,
                    "is_due": ordinal % every == 0,
                    "sampling_id": None,
                }
                for ordinal, (path, name) in enumerate(new, last + 1)
                if every is not None
            ]
            insert_missing(connection, models, rows)
            return _models(connection, task_id)

    def models(self, task_id: str) -> list[KnownModel]:
        """Return the saved models that were noted, by age."""
        with self._database.read() as connection:
            return _models(connection, task_id)

    def note_sampling(self, task_id: str, path: str, sampling_id: str | None) -> None:
        """Store the task that renders a saved model; None: the model was deleted before."""
        mine = and_(models.c.task_id == task_id, models.c.path == path)
        with self._database.write(is_audited=False) as connection:
            connection.execute(update(models).where(mine).values(is_due=False, sampling_id=sampling_id))

    def note_problem(self, task_id: str, problem: ReasonOrText | None, now: datetime) -> None:
        """Store why samples are late, with one warning when they begin to be; None: they are no longer."""
        mine = orders.c.task_id == task_id
        begins = and_(mine, orders.c.problem.is_(None)) if problem is not None else mine
        with self._database.write(is_audited=False) as connection:
            changed = connection.execute(update(orders).where(begins).values(dump_message(problem, "problem")))
            if changed.rowcount and problem is not None:
                events.append(connection, task_id, now, EventKind.WARNING, "service", problem)

    def settle(self, task_id: str, since: datetime) -> None:
        """Note that nothing was left to do at this time."""
        with self._database.write(is_audited=False) as connection:
            connection.execute(update(orders).where(orders.c.task_id == task_id).values(settled_at=to_seconds(since)))


def _read(row: Row[Any]) -> StoredOrder:
    spec = SamplingSpec.from_json(row.spec)
    order = SampleOrder(row.sample_set, row.version, row.every, row.trigger, spec)
    return StoredOrder(row.task_id, order, to_time(row.created_at), row.problem, read_code(row.problem_code))


def _models(connection: Connection, task_id: str) -> list[KnownModel]:
    query = select(models).where(models.c.task_id == task_id).order_by(models.c.ordinal)
    return [KnownModel(row.path, row.name, bool(row.is_due), row.sampling_id) for row in connection.execute(query)]
