"""Orphans, attempts that run without a row in the database: adopted by their task, or their GPUs quarantined."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, delete, insert, select

from api.db import leases
from api.db.database import Database
from api.db.rows import dump_message, read_lease, to_seconds
from api.db.tables import attempts, task_gpus, tasks
from api.db.tables import leases as lease_table
from api.domain.machines.lease import Lease, LeaseKind, LeaseState
from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.training import AttemptStatus, TaskStatus
from api.training.records.status_changes import move

# Built once: building a statement takes as long as executing it. Open attempts and leases are few.
_KNOWN = (
    select(attempts.c.uid)
    .where(attempts.c.status != AttemptStatus.ENDED)
    .union(
        select(attempts.c.uid)
        .join(lease_table, lease_table.c.attempt_uid == attempts.c.uid)
        .where(lease_table.c.reason.is_(None))
    )
)
_QUARANTINED = (
    select(lease_table)
    .where(lease_table.c.reason.is_not(None), lease_table.c.token == bindparam("of_token"))
    .order_by(lease_table.c.resource)
)


@dataclass(frozen=True, slots=True)
class FoundAttempt:
    """A running attempt that was found on the machine."""

    uid: str
    task_id: str
    number: int
    directory: str
    gpu_uuids: tuple[str, ...]
    gpu_indices: tuple[int, ...]


class OrphanStore:
    """Adopts orphans found on a machine, or quarantines their GPUs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unknown(self, uids: Iterable[str]) -> set[str]:
        """Return the uids without an open attempt or lease in the database."""
        remaining = set(uids)
        if not remaining:
            return remaining
        with self._database.read() as connection:
            return remaining.difference(connection.scalars(_KNOWN))

    def status_of(self, task_id: str) -> TaskStatus | None:
        """Return the status of a task, or None if it does not exist."""
        with self._database.read() as connection:
            status = connection.scalar(select(tasks.c.status).where(tasks.c.task_id == task_id))
        return None if status is None else TaskStatus(status)

    def needs_gpus(self, task_id: str) -> bool:
        """Return whether an existing task runs on GPUs."""
        with self._database.read() as connection:
            return bool(connection.scalar(select(tasks.c.gpu_count).where(tasks.c.task_id == task_id)))

    def adopt(self, found: FoundAttempt, node: str, token: str, expires_at: datetime, now: datetime) -> bool:
        """Make it the current attempt of its queued task, with its GPUs. Return False if the task is not queued.

        Raise ResourceHeld if another holder has one of the GPUs. Nothing has changed then.
        """
        with self._database.write() as connection:
            mine = select(tasks).where(tasks.c.task_id == found.task_id).with_for_update()
            task = connection.execute(mine).one_or_none()
            existing = select(attempts.c.uid).where(attempts.c.uid == found.uid)
            if task is None or task.status != TaskStatus.QUEUED or connection.scalar(existing) is not None:
                return False
            connection.execute(delete(lease_table).where(_quarantined_for(found.uid)))
            holder = leases.Holder(found.task_id, token, found.uid, expires_at)
            leases.claim(connection, ((LeaseKind.GPU, uuid) for uuid in found.gpu_uuids), holder, now)
            message = Reason.of("its attempt {number} was found running and continues", "adopted", number=found.number)
            values = {"attempts": max(task.attempts, found.number), "gpu_uuids": list(found.gpu_uuids)}
            move(
                connection,
                found.task_id,
                TaskStatus.STARTING,
                now,
                "service",
                message,
                attempt_uid=found.uid,
                **values,
            )
            connection.execute(insert(attempts).values(_row(found, node, token, now)))
            had = set(connection.scalars(select(task_gpus.c.gpu_uuid).where(task_gpus.c.serial == task.serial)))
            fresh = [{"gpu_uuid": uuid, "serial": task.serial} for uuid in found.gpu_uuids if uuid not in had]
            if fresh:
                connection.execute(insert(task_gpus), fresh)
        return True

    def quarantine(self, found: FoundAttempt, token: str, reason: ReasonOrText, now: datetime) -> list[str]:
        """Quarantine its GPUs. Return the UUIDs of those that no other holder had."""
        with self._database.write() as connection:
            held = connection.scalars(select(lease_table.c.resource).where(lease_table.c.kind == LeaseKind.GPU))
            free = sorted(set(found.gpu_uuids).difference(held))
            row = {
                "kind": LeaseKind.GPU,
                "task_id": found.task_id,
                "attempt_uid": found.uid,
                "token": token,
                "state": LeaseState.HELD,
                "claimed_at": to_seconds(now),
                **dump_message(reason, "reason"),
            }
            if free:
                connection.execute(insert(lease_table).values([{**row, "resource": uuid} for uuid in free]))
        return free

    def quarantined(self, token: str) -> list[Lease]:
        """Return the leases of quarantined GPUs with this token."""
        with self._database.read() as connection:
            return [read_lease(row) for row in connection.execute(_QUARANTINED, {"of_token": token})]

    def release(self, uids: Iterable[str]) -> None:
        """Free the GPUs quarantined for these attempts."""
        with self._database.write() as connection:
            for uid in uids:
                connection.execute(delete(lease_table).where(_quarantined_for(uid)))


def _quarantined_for(uid: str) -> ColumnElement[bool]:
    return (lease_table.c.attempt_uid == uid) & lease_table.c.reason.is_not(None)


def _row(found: FoundAttempt, node: str, token: str, now: datetime) -> dict[str, object]:
    return {
        "uid": found.uid,
        "task_id": found.task_id,
        "number": found.number,
        "status": AttemptStatus.SUBMITTED,
        "token": token,
        "node": node,
        "directory": found.directory,
        "gpu_uuids": list(found.gpu_uuids),
        "gpu_indices": list(found.gpu_indices),
        "created_at": to_seconds(now),
        "known_run_dirs": [],
    }
