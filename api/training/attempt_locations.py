"""The nodes and GPUs on which a cluster runs attempts, which may differ from those that were claimed."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from api.db import leases
from api.db.database import Database
from api.db.leases import ResourceHeld
from api.db.rows import to_seconds
from api.db.tables import attempts, task_gpus, tasks
from api.db.tables import leases as lease_table
from api.domain.lease import LeaseKind, LeaseState
from api.domain.training import Attempt, AttemptStatus


class AttemptLocations:
    """Stores the nodes and GPUs of attempts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, attempt: Attempt, node: str, uuids: Sequence[str], indices: Sequence[int], now: datetime) -> bool:
        """Record that an open attempt has exactly these GPUs.

        Another attempt that claimed one of them gets one of this attempt's GPUs in exchange. Return False if the
        attempt has ended, or another holder has one of the GPUs.
        """
        try:
            return self._note(attempt, node, uuids, indices, now)
        except ResourceHeld:
            return False

    def _note(self, attempt: Attempt, node: str, uuids: Sequence[str], indices: Sequence[int], now: datetime) -> bool:
        with self._database.write() as connection:
            mine = (attempts.c.uid == attempt.uid) & (attempts.c.status != AttemptStatus.ENDED)
            values = {"node": node, "gpu_uuids": list(uuids), "gpu_indices": list(indices)}
            if connection.execute(update(attempts).where(mine).values(values)).rowcount == 0:
                return False
            _hold(connection, attempt, frozenset(uuids), now)
            serial = connection.scalar(select(tasks.c.serial).where(tasks.c.task_id == attempt.task_id))
            had = set(connection.scalars(select(task_gpus.c.gpu_uuid).where(task_gpus.c.serial == serial)))
            fresh = [{"gpu_uuid": uuid, "serial": serial} for uuid in uuids if uuid not in had]
            if fresh:
                connection.execute(insert(task_gpus), fresh)
        return True


def _hold(connection: Connection, attempt: Attempt, uuids: frozenset[str], now: datetime) -> None:
    """Make the attempt hold these GPUs. Raise ResourceHeld if a holder other than an attempt has one."""
    own = (lease_table.c.token == attempt.token) & (lease_table.c.kind == LeaseKind.GPU)
    rows = connection.execute(select(lease_table).where(own)).all()
    held = {row.resource for row in rows}
    spare = sorted(held - uuids)
    connection.execute(delete(lease_table).where(own & lease_table.c.resource.in_(spare)))
    missing = sorted(uuids - held)
    others = connection.execute(select(lease_table).where(lease_table.c.resource.in_(missing))).all()
    for other in others:
        if other.attempt_uid is None:
            raise ResourceHeld({other.resource: other.task_id})
        is_it = (lease_table.c.resource == other.resource) & (lease_table.c.token == other.token)
        connection.execute(delete(lease_table).where(is_it))
        if other.state == LeaseState.HELD and spare:
            _exchange(connection, other.attempt_uid, other.resource, spare[0])
            row = {column.name: getattr(other, column.name) for column in lease_table.c} | {"resource": spare.pop(0)}
            connection.execute(insert(lease_table), row)
    expires_at = next((row.expires_at for row in rows), None)
    holder = leases.Holder(attempt.task_id, attempt.token, attempt.uid)
    leases.claim(connection, ((LeaseKind.GPU, uuid) for uuid in missing), holder, now)
    fresh = own & lease_table.c.resource.in_(missing)
    values = {"expires_at": expires_at, "claimed_at": to_seconds(now)}
    connection.execute(update(lease_table).where(fresh).values(values))


def _exchange(connection: Connection, uid: str, taken: str, given: str) -> None:
    """Replace one GPU by another in the record of an attempt, until its real GPUs are known."""
    row = connection.execute(select(attempts.c.gpu_uuids).where(attempts.c.uid == uid)).one()
    uuids = [given if uuid == taken else uuid for uuid in row.gpu_uuids]
    connection.execute(update(attempts).where(attempts.c.uid == uid).values(gpu_uuids=uuids))
