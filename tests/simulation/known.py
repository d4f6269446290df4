"""The contents of the database, read past the service and its faults, and only after a write."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from api.domain.machines.lease import LeaseKind, LeaseState
from api.domain.tasks.cause import CauseCode
from api.domain.tasks.training import AttemptStatus, TaskStatus

_TASKS = (
    "SELECT task_id, name, status, not_before, updated_at, "
    "cause->>'code', stop->'cause'->>'code', warning, priority_class, preempted_by FROM tasks"
)
_LEASES = f"SELECT resource, task_id FROM leases WHERE kind = '{LeaseKind.GPU}'"
_UNSENT = (
    "SELECT (SELECT count(*) FROM alert_deliveries WHERE state IN ('waiting', 'sending')), "
    "(SELECT count(*) FROM alert_notifications WHERE delivery_id IS NULL)"
)
_OPEN = f"SELECT uid FROM attempts WHERE status != '{AttemptStatus.ENDED}'"
_STARTING = f"SELECT task_id FROM tasks WHERE status = '{TaskStatus.STARTING}'"

#: Triggers of the database record changes of leases between two reads.
_WATCH_LEASES = f"""
CREATE TABLE broken (what TEXT NOT NULL);
CREATE TRIGGER freed_while_held BEFORE DELETE ON leases
WHEN OLD.kind = '{LeaseKind.GPU}' AND OLD.state = '{LeaseState.HELD}'
BEGIN INSERT INTO broken VALUES (OLD.resource || ' of ' || OLD.attempt_uid || ' is freed without draining'); END;
CREATE TRIGGER drained_while_open BEFORE UPDATE OF state ON leases
WHEN NEW.state = '{LeaseState.DRAINING}' AND OLD.attempt_uid IN ({_OPEN})
BEGIN INSERT INTO broken VALUES (OLD.resource || ' of ' || OLD.attempt_uid || ', which is open, drains'); END;
"""


@dataclass(frozen=True, slots=True)
class KnownTask:
    """The row of a task; times are Unix seconds."""

    task_id: str
    name: str | None
    status: TaskStatus
    not_before: float
    updated_at: float
    cause: str | None
    stop_cause: str | None
    warning: str | None
    rank: int  #: of its class
    preempted_by: str | None

    @property
    def makes_way(self) -> bool:
        """Whether it is stopping for an urgent task."""
        return self.status is TaskStatus.STOPPING and self.stop_cause == CauseCode.URGENT_TASK


class Known:
    """The tasks, and the holder of each GPU."""

    def __init__(self, url: str) -> None:
        """Connect to the database. The leases of PostgreSQL are not watched."""
        file = make_url(url).database if url.startswith("sqlite") else None
        self._connection: Any = psycopg.connect(url, autocommit=True) if file is None else sqlite3.connect(file)
        self._is_sqlite = file is not None
        if self._is_sqlite:
            self._connection.isolation_level = None
            self._connection.executescript(_WATCH_LEASES)
        self._version = -1
        self._rows: dict[str, tuple[object, ...]] = {}
        self.tasks: Mapping[str, KnownTask] = {}
        self.held: Mapping[str, str] = {}
        self.unsent = 0  #: number of notifications to be sent
        self.open: frozenset[str] = frozenset()  #: the uids of attempts that have not ended
        self.broken: tuple[str, ...] = ()  #: forbidden changes of leases

    def read_changes(self) -> bool:
        """Read the changes; return False if there are none."""
        if self._is_sqlite:
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
            if version == self._version:
                return False
            self._version = version
        rows = {row[0]: row for row in self._connection.execute(_TASKS)}
        before, known = self._rows, self.tasks
        self.tasks = {
            task_id: known[task_id] if before.get(task_id) == row else _read(row) for task_id, row in rows.items()
        }
        self._rows = rows
        self.held = dict(self._connection.execute(_LEASES).fetchall())
        self.unsent = sum(self._connection.execute(_UNSENT).fetchone())
        self.open = frozenset(uid for (uid,) in self._connection.execute(_OPEN))
        if self._is_sqlite:
            self.broken = tuple(what for (what,) in self._connection.execute("SELECT what FROM broken"))
        return True

    def starting(self) -> list[str]:
        """Return the ids of the tasks that are being started at this moment."""
        return sorted(task_id for (task_id,) in self._connection.execute(_STARTING))

    def close(self) -> None:
        self._connection.close()


def _read(row: tuple[object, ...]) -> KnownTask:
    task_id, name, status, not_before, updated_at, cause, stop_cause, warning, rank, preempted_by = row
    return KnownTask(
        str(task_id),
        None if name is None else str(name),
        TaskStatus(str(status)),
        float(str(not_before)),
        float(str(updated_at)),
        None if cause is None else str(cause),
        None if stop_cause is None else str(stop_cause),
        None if warning is None else str(warning),
        int(str(rank)),
        None if preempted_by is None else str(preempted_by),
    )
