"""Store holds of the queue, and of GPUs by UUID."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from api.db.alert_tables import alerts, holds
from api.db.database import Database
from api.db.insertion import insert_or_update
from api.db.rows import dump_fields, read_fields, to_seconds
from api.domain.access.audit import note_change
from api.domain.machines.hold import Hold, HoldKind
from api.errors import Conflict, HoldNotFound

#: The maximum number of holds at a time.
MOST_HOLDS = 1_000

#: The maximum number of claims on one GPU.
MOST_CLAIMS = 16

# Built once: each scheduling pass and each sweep executes them.
_OF_QUEUE = select(holds).where(holds.c.kind == HoldKind.QUEUE).order_by(holds.c.serial).limit(1)
_IS_TIMED = holds.c.kind.in_((HoldKind.PAUSE, HoldKind.CLAIM))
_TIMED = select(holds).where(_IS_TIMED).order_by(holds.c.serial)
_OF_GPUS = select(holds).where(holds.c.kind == HoldKind.GPU).order_by(holds.c.serial)


class HoldStore:
    """The stored holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def timed(self) -> Mapping[str, Sequence[Hold]]:
        """Return the pauses and claims of each GPU by UUID, as `timed_holds`."""
        with self._database.read() as connection:
            return timed_holds(connection)

    def list(self) -> list[Hold]:
        """Return all holds, oldest first."""
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(select(holds).order_by(holds.c.serial))]

    def of_queue(self) -> Hold | None:
        """Return the oldest hold of the queue, or None."""
        with self._database.read() as connection:
            row = connection.execute(_OF_QUEUE).one_or_none()
        return None if row is None else _read(row)

    def put(self, hold: Hold) -> None:
        """Store a pause or claim. It replaces the earlier one with its id.

        Raises Conflict when there are too many holds.
        """
        row = dump_fields(hold, holds)
        with self._database.write() as connection:
            # The training loop ends those that are over only while there is work.
            connection.execute(delete(holds).where(_is_over(hold.created_at)))
            _require_room(connection, holds.c.hold_id != hold.hold_id)
            if hold.kind is HoldKind.CLAIM:
                _require_claim(connection, hold)
            insert_or_update(connection, holds, [row], "hold_id", tuple(row))
            note_change(about=hold.hold_id, after=_shown(hold))

    def end_timed(self, hold: Hold) -> bool:
        """End a pause or claim. Return False if it has ended already."""
        with self._database.write() as connection:
            ended = connection.execute(delete(holds).where(holds.c.hold_id == hold.hold_id)).rowcount
            if ended:
                note_change(about=hold.gpu_uuid, before=_shown(hold))
        return bool(ended)

    def end_expired(self, now: datetime) -> int:
        """Delete the pauses and claims that are over; return their number."""
        with self._database.write() as connection:
            return connection.execute(delete(holds).where(_is_over(now))).rowcount

    def begin_again(self, now: datetime) -> None:
        """Let the pauses and claims from the future begin now, for as long as they were made."""
        at = to_seconds(now)
        later = update(holds).where(_IS_TIMED & (holds.c.created_at > at))
        with self._database.write() as connection:
            connection.execute(later.values(created_at=at, expires_at=at + holds.c.expires_at - holds.c.created_at))

    def add(self, hold: Hold) -> bool:
        """Store a hold. Return False if it comes from an alert that has already made it, or that is resolved.

        Raises Conflict when there are too many.
        """
        with self._database.write() as connection:
            if hold.alert_id is not None and not _may_be_made(connection, hold):
                return False
            _insert(connection, hold)
        return True

    def end(self, hold_id: str) -> Hold:
        """Delete a hold.

        Raises HoldNotFound.
        """
        mine = holds.c.hold_id == hold_id
        with self._database.write() as connection:
            row = connection.execute(select(holds).where(mine).with_for_update()).one_or_none()
            if row is None:
                raise HoldNotFound(f'No hold has the id "{hold_id[:80]}".')
            connection.execute(delete(holds).where(mine))
            note_change(about=hold_id, before={"kind": row.kind, "gpu_uuid": row.gpu_uuid, "reason": row.reason})
        return _read(row)

    def end_orphans(self) -> int:
        """Delete the holds of alerts that are resolved or deleted; return their number."""
        is_open = select(alerts.c.alert_id).where(alerts.c.open_key.is_not(None))
        gone = holds.c.alert_id.is_not(None) & holds.c.alert_id.not_in(is_open)
        with self._database.read() as connection:
            ids = list(connection.scalars(select(holds.c.hold_id).where(gone)))
        if not ids:
            return 0
        with self._database.write() as connection:
            return connection.execute(delete(holds).where(gone & holds.c.hold_id.in_(ids))).rowcount


def gpu_holds(connection: Connection) -> list[Hold]:
    """Return the holds of GPUs, oldest first."""
    return [_read(row) for row in connection.execute(_OF_GPUS)]


def _is_over(now: datetime) -> ColumnElement[bool]:
    return _IS_TIMED & (holds.c.expires_at <= to_seconds(now))


def _insert(connection: Connection, hold: Hold) -> None:
    _require_room(connection)
    connection.execute(insert(holds).values(dump_fields(hold, holds)))
    note_change(about=hold.hold_id, after=_shown(hold))


def _require_room(connection: Connection, *others: ColumnElement[bool]) -> None:
    """Raise Conflict if there are too many holds, or too many of these."""
    if (connection.scalar(select(func.count()).select_from(holds).where(*others)) or 0) >= MOST_HOLDS:
        raise Conflict(f"There are {MOST_HOLDS:,} holds already, which is the most: end some.")


def _shown(hold: Hold) -> dict[str, Any]:
    """Return a hold as the audit stores it."""
    row = dump_fields(hold, holds)
    return {name: row[name] for name in ("kind", "gpu_uuid", "reason", "expires_at", "memory_mb")}


def _require_claim(connection: Connection, claim: Hold) -> None:
    """Raise Conflict if other claims on the GPU are as many as it may have."""
    others = (holds.c.kind == HoldKind.CLAIM, holds.c.gpu_uuid == claim.gpu_uuid, holds.c.hold_id != claim.hold_id)
    if (connection.scalar(select(func.count()).select_from(holds).where(*others)) or 0) >= MOST_CLAIMS:
        raise Conflict(f"The GPU has {MOST_CLAIMS} claims already, which is the most: release one.")


def timed_holds(connection: Connection) -> Mapping[str, Sequence[Hold]]:
    """Return the pauses and claims of each GPU by UUID, oldest first, also those that are over but not ended yet."""
    found = dict[str, list[Hold]]()
    for hold in map(_read, connection.execute(_TIMED)):
        found.setdefault(hold.gpu_uuid or "", []).append(hold)
    return found


def _may_be_made(connection: Connection, hold: Hold) -> bool:
    is_open = select(alerts.c.open_key).where(alerts.c.alert_id == hold.alert_id).with_for_update()
    if connection.scalar(is_open) is None:
        return False
    same = (holds.c.alert_id == hold.alert_id) & (holds.c.kind == hold.kind)
    uuid = holds.c.gpu_uuid.is_(None) if hold.gpu_uuid is None else holds.c.gpu_uuid == hold.gpu_uuid
    return connection.scalar(select(holds.c.hold_id).where(same, uuid)) is None


def _read(row: Row[Any]) -> Hold:
    return read_fields(Hold, row)
