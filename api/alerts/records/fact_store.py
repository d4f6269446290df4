"""Database queries for facts about tasks and machines: a few statements for all of them together."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, text

from api.db.database import Database
from api.db.dataset_tables import uploads
from api.db.rows import to_seconds
from api.db.tables import attempts, events, leadership, nodes, tasks
from api.db.task_rows import SUMMARY_COLUMNS, read_summary
from api.domain.datasets.upload import UploadStatus
from api.domain.machines.node import NodeRole
from api.domain.reason import fill
from api.domain.tasks.training import AttemptStatus, EventKind, TaskStatus, TaskSummary

#: An upload whose client has sent nothing for this long does not keep a machine awake.
FRESH_UPLOAD = timedelta(minutes=15)

#: Maximum number of tasks that are read, newest first.
MOST_TASKS = 5_000


@dataclass(frozen=True, slots=True)
class CheckpointProgress:
    """The checkpoints of a task. `checkpoint_at` is in Unix seconds; None: no checkpoint."""

    checkpoint_at: float | None
    attempts_since: int  #: attempts started since the checkpoint


class AlertFactStore:
    """Reads facts from the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tasks(self, finished_after: datetime) -> list[TaskSummary]:
        """Return every open task, and those that finished after this time."""
        is_open = tasks.c.status.in_([status for status in TaskStatus if not status.is_finished])
        relevant = or_(is_open, tasks.c.finished_at >= to_seconds(finished_after))
        query = select(*SUMMARY_COLUMNS).where(relevant).order_by(tasks.c.serial.desc()).limit(MOST_TASKS)
        with self._database.read() as connection:
            return [read_summary(row) for row in connection.execute(query)]

    def newest_task(self) -> int:
        """Return the highest serial number of a task; 0 if there is none."""
        with self._database.read() as connection:
            return connection.scalar(select(func.max(tasks.c.serial))) or 0

    def notify(self, task_ids: Collection[str]) -> dict[str, dict[str, list[str]]]:
        """Return the setting `notify` of these tasks' requests, where it is set."""
        query = select(tasks.c.task_id, tasks.c.request).where(tasks.c.task_id.in_(list(task_ids)))
        with self._database.read() as connection:
            found = {row.task_id: row.request.get("notify") for row in connection.execute(query)}
        return {task_id: notify for task_id, notify in found.items() if notify}

    def checkpoint_progress(self, task_ids: Collection[str]) -> dict[str, CheckpointProgress]:
        """Return the checkpoint and the number of attempts since it for each of these tasks."""
        ids = list(task_ids)
        # Compared by number and id: times are unreliable if the clock was set. A pruned checkpoint has no `current`.
        made = (
            select(func.max(events.c.id))
            .group_by(events.c.task_id)
            .where(events.c.task_id.in_(ids), events.c.type == EventKind.CHECKPOINT, events.c.current.is_not(None))
        )
        latest = select(events.c.id, events.c.task_id, events.c.at, events.c.attempt_uid).where(events.c.id.in_(made))
        started = select(attempts.c.task_id, attempts.c.uid, attempts.c.number).where(attempts.c.task_id.in_(ids))
        with self._database.read() as connection:
            checkpoints = {row.task_id: row for row in connection.execute(latest)}
            numbers: dict[str, dict[str, int]] = {}
            for row in connection.execute(started):
                numbers.setdefault(row.task_id, {})[row.uid] = row.number
        found = {}
        for task_id in ids:
            of_task, last = numbers.get(task_id, {}), checkpoints.get(task_id)
            made_by = 0 if last is None else of_task.get(last.attempt_uid, 0)
            since = sum(number > made_by for number in of_task.values())
            found[task_id] = CheckpointProgress(None, since) if last is None else CheckpointProgress(last.at, since)
        return found

    def unfinished_work(self, node: str, now: datetime) -> str | None:
        """Return a description of the first unfinished work on this machine or in the queue; None if there is none."""
        waits = select(func.count()).select_from(tasks).where(tasks.c.status == TaskStatus.QUEUED)
        mine = (attempts.c.node == node) & (attempts.c.status != AttemptStatus.ENDED)
        runs = select(func.count()).select_from(attempts).where(mine)
        fresh = uploads.c.updated_at > to_seconds(now - FRESH_UPLOAD)
        is_open = or_(uploads.c.status == UploadStatus.RECEIVED, (uploads.c.status == UploadStatus.RECEIVING) & fresh)
        incoming = select(func.count()).select_from(uploads).where(is_open)
        with self._database.read() as connection:
            for query, what in (
                (runs, "{n} {n|attempt runs|attempts run}"),
                (waits, "{n} {n|task waits|tasks wait}"),
                (incoming, "{n} {n|upload is|uploads are} in progress"),
            ):
                count = connection.scalar(query)
                if count:
                    return fill(what, {"n": count})
        return None

    def lease_renewals(self) -> dict[str, float]:
        """Return the time of the latest lease renewal of each leader by its scope, by that leader's clock."""
        query = select(leadership.c.scope, leadership.c.expires_at).where(leadership.c.holder != "")
        with self._database.read() as connection:
            return {row.scope: row.expires_at for row in connection.execute(query)}

    def nodes(self) -> list[str]:
        """Return the names of all machines."""
        with self._database.read() as connection:
            return list(connection.scalars(select(nodes.c.name)))

    def roles(self) -> dict[str, NodeRole | None]:
        """Return the role of each machine by its name. None: its server has not reported a role yet."""
        with self._database.read() as connection:
            rows = connection.execute(select(nodes.c.name, nodes.c.role))
            return {row.name: None if row.role is None else NodeRole(row.role) for row in rows}

    def clock_offset(self, now: datetime) -> float | None:
        """Return the absolute difference between the database's clock and `now` in seconds; None for SQLite."""
        if self._database.is_sqlite:
            return None
        with self._database.read() as connection:
            seconds = connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())"))
        return None if seconds is None else abs(float(seconds) - now.timestamp())
