"""What rules about tasks and machines need of the database: a few statements for all of them together."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, text

from api.db.database import Database
from api.db.dataset_tables import uploads
from api.db.rows import SUMMARY_COLUMNS, read_summary, to_seconds
from api.db.tables import attempts, events, leadership, nodes, tasks
from api.domain.node import NodeRole
from api.domain.reason import fill
from api.domain.training import AttemptStatus, EventKind, TaskStatus, TaskSummary
from api.domain.upload import UploadStatus

#: An upload whose client has sent nothing for longer waits for it, and keeps no machine awake.
FRESH_UPLOAD = timedelta(minutes=15)

#: Tasks that are looked at at most: the open ones come first.
MOST_TASKS = 5_000


@dataclass(frozen=True, slots=True)
class Headway:
    """What a task has to show. Unix seconds; None: never."""

    checkpoint_at: float | None
    attempts_since: int  #: attempts begun since then


class AlertFactStore:
    """Reads what rules need."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tasks(self, finished_after: datetime) -> list[TaskSummary]:
        """Every task that is open, and those that have finished since then."""
        is_open = tasks.c.status.in_([status for status in TaskStatus if not status.is_finished])
        wanted = or_(is_open, tasks.c.finished_at >= to_seconds(finished_after))
        query = select(*SUMMARY_COLUMNS).where(wanted).order_by(tasks.c.serial.desc()).limit(MOST_TASKS)
        with self._database.read() as connection:
            return [read_summary(row) for row in connection.execute(query)]

    def newest_task(self) -> int:
        """Return the highest serial number of a task; 0 when there is none."""
        with self._database.read() as connection:
            return connection.scalar(select(func.max(tasks.c.serial))) or 0

    def notify(self, task_ids: Collection[str]) -> dict[str, dict[str, list[str]]]:
        """What the requests of these tasks say of whom to tell, where they say it."""
        query = select(tasks.c.task_id, tasks.c.request).where(tasks.c.task_id.in_(list(task_ids)))
        with self._database.read() as connection:
            found = {row.task_id: row.request.get("notify") for row in connection.execute(query)}
        return {task_id: notify for task_id, notify in found.items() if notify}

    def headway(self, task_ids: Collection[str]) -> dict[str, Headway]:
        """What each of these tasks has to show."""
        ids = list(task_ids)
        # By number and id: times lie when the clock was set in between. A pruned checkpoint has no `current`.
        made = (
            select(func.max(events.c.id))
            .group_by(events.c.task_id)
            .where(events.c.task_id.in_(ids), events.c.type == EventKind.CHECKPOINT, events.c.current.is_not(None))
        )
        latest = select(events.c.id, events.c.task_id, events.c.at, events.c.attempt_uid).where(events.c.id.in_(made))
        begun = select(attempts.c.task_id, attempts.c.uid, attempts.c.number).where(attempts.c.task_id.in_(ids))
        with self._database.read() as connection:
            checkpoints = {row.task_id: row for row in connection.execute(latest)}
            numbers: dict[str, dict[str, int]] = {}
            for row in connection.execute(begun):
                numbers.setdefault(row.task_id, {})[row.uid] = row.number
        found = {}
        for task_id in ids:
            of_task, last = numbers.get(task_id, {}), checkpoints.get(task_id)
            made_by = 0 if last is None else of_task.get(last.attempt_uid, 0)
            since = sum(number > made_by for number in of_task.values())
            found[task_id] = Headway(None, since) if last is None else Headway(last.at, since)
        return found

    def unfinished_work(self, node: str, now: datetime) -> str | None:
        """What is not finished on this machine, or waits for any, in words; None: nothing."""
        waits = select(func.count()).select_from(tasks).where(tasks.c.status == TaskStatus.QUEUED)
        mine = (attempts.c.node == node) & (attempts.c.status != AttemptStatus.ENDED)
        runs = select(func.count()).select_from(attempts).where(mine)
        fresh = uploads.c.updated_at > to_seconds(now - FRESH_UPLOAD)
        comes = or_(uploads.c.status == UploadStatus.RECEIVED, (uploads.c.status == UploadStatus.RECEIVING) & fresh)
        arrives = select(func.count()).select_from(uploads).where(comes)
        with self._database.read() as connection:
            for query, what in (
                (runs, "{n} {n|attempt runs|attempts run}"),
                (waits, "{n} {n|task waits|tasks wait}"),
                (arrives, "{n} {n|upload comes|uploads come} in"),
            ):
                count = connection.scalar(query)
                if count:
                    return fill(what, {"n": count})
        return None

    def signs_of_life(self) -> dict[str, float]:
        """The latest sign of life of each leader by its scope, by its own clock."""
        query = select(leadership.c.scope, leadership.c.expires_at).where(leadership.c.holder != "")
        with self._database.read() as connection:
            return {row.scope: row.expires_at for row in connection.execute(query)}

    def nodes(self) -> list[str]:
        """The names of all machines."""
        with self._database.read() as connection:
            return list(connection.scalars(select(nodes.c.name)))

    def roles(self) -> dict[str, NodeRole | None]:
        """Each machine by name; None: it has a server that has not said its role yet."""
        with self._database.read() as connection:
            rows = connection.execute(select(nodes.c.name, nodes.c.role))
            return {row.name: None if row.role is None else NodeRole(row.role) for row in rows}

    def clock_offset(self, now: datetime) -> float | None:
        """Seconds by which the database's clock differs from `now`; None where it has no clock of its own."""
        if self._database.is_sqlite:
            return None
        with self._database.read() as connection:
            told = connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())"))
        return None if told is None else abs(float(told) - now.timestamp())
