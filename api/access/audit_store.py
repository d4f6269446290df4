"""The audit in the database: append, query, verify and prune."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, func, select, update

from api.db.audit_chain import Head, append, hash_row, lock_head, read_head, read_record
from api.db.database import Database
from api.db.rows import maybe_time, to_seconds
from api.db.tables import audit, audit_chain
from api.domain.access.audit import SERVICE, AuditEntry, AuditFilter, AuditRecord, ChainCheck
from api.domain.reason import Reason

#: Rows per transaction when verifying or pruning, so that no transaction takes long.
BATCH = 1000

#: The most rows that one verification reads; its result says where to continue.
MAX_CHECKED = 100_000


class AuditStore:
    """Queries and extends the audit in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, entries: Iterable[AuditEntry]) -> list[AuditRecord]:
        """Store these entries in one transaction. Raises DatabaseUnavailable."""
        with self._database.write(is_audited=False) as connection:
            return append(connection, entries)

    def page(self, wanted: AuditFilter, limit: int, cursor: int | None) -> tuple[list[AuditRecord], int]:
        """Return up to `limit` records before the id `cursor`, newest first, and the total number of records."""
        conditions = _conditions(wanted)
        query = select(audit).where(*conditions).order_by(audit.c.id.desc()).limit(limit)
        if cursor is not None:
            query = query.where(audit.c.id < cursor)
        with self._database.read() as connection:
            total = connection.scalar(select(func.count()).select_from(audit).where(*conditions)) or 0
            return [read_record(_plain(row)) for row in connection.execute(query).mappings()], total

    def check(self, after: int | None = None, most: int = MAX_CHECKED, batch: int = BATCH) -> ChainCheck:
        """Verify at most `most` rows of the hash chain, from its beginning or after the row `after`."""
        walk = _Walk(after)
        while not walk.is_over and walk.checked < most:
            with self._database.read() as connection:
                walk.advance(connection, min(batch, most - walk.checked))
        return walk.result()

    def find_hash(self, id_: int) -> str | None:
        """Return the hash of the row with this id, or None."""
        with self._database.read() as connection:
            return connection.scalar(select(audit.c.hash).where(audit.c.id == id_))

    def prune(self, before: datetime, now: datetime) -> int:
        """Remove up to BATCH rows from before this time, record that in the audit, and return their number.

        The rest remains a valid chain with a later beginning.
        """
        with self._database.write(is_audited=False) as connection:
            head = lock_head(connection)
            oldest = select(audit.c.id, audit.c.at, audit.c.hash).order_by(audit.c.id).limit(BATCH)
            old = list(takewhile(lambda row: row.at < to_seconds(before), connection.execute(oldest)))
            if not old:
                return 0
            last = old[-1]
            connection.execute(delete(audit).where(audit.c.id <= last.id))
            connection.execute(update(audit_chain).values(first_id=last.id + 1, before_first=last.hash))
            change = {"removed": len(old), "first_id": last.id + 1}
            append(connection, [AuditEntry(now, SERVICE, "prune", before={"first_id": head.first_id}, after=change)])
        return len(old)


class _Walk:
    """A verification of the chain, batch by batch."""

    def __init__(self, after: int | None) -> None:
        self.checked = 0
        self.is_over = False
        self._position, self._hash = after, None  # type: int | None, str | None
        self._first_id: int | None = None
        self._kept_since: float | None = None
        self._bad_id: int | None = None
        self._problem: Reason | None = None

    def advance(self, connection: Connection, limit: int) -> None:
        """Verify the next rows. Both ends of the chain are read in the same transaction."""
        head = read_head(connection)
        if head is None:
            self.is_over = True
            first = connection.scalar(select(func.min(audit.c.id)))
            if first is not None or self._position is not None:
                self._break(first or 1, Reason.of("the record of the chain's ends is missing", "audit_headless"))
            return
        if self._first_id is None or (self._position or 0) + 1 < head.first_id:
            # At the beginning, or the rows up to here were pruned meanwhile.
            self._begin(connection, head)
        rows = (
            connection.execute(select(audit).where(audit.c.id > self._position).order_by(audit.c.id).limit(limit))
            .mappings()
            .all()
        )
        for row in rows:
            if not self._follows(_plain(row)):
                return
        if len(rows) < limit:
            self._end(head)

    def _begin(self, connection: Connection, head: Head) -> None:
        self._first_id = head.first_id
        self._kept_since = connection.scalar(select(audit.c.at).where(audit.c.id == head.first_id))
        if self._position is None or self._position < head.first_id:
            self._position, self._hash = head.first_id - 1, head.before_first
            earlier = connection.scalar(select(func.min(audit.c.id)).where(audit.c.id < head.first_id))
            if earlier is not None:
                self._break(earlier, Reason.of("row {id} is before the chain's beginning", "audit_early", id=earlier))
        elif self._hash is None:
            self._hash = connection.scalar(select(audit.c.hash).where(audit.c.id == self._position))
            if self._hash is None:
                self._break(self._position, _missing(self._position))

    def _follows(self, row: dict[str, Any]) -> bool:
        if self.is_over or self._position is None or self._hash is None:
            return False
        expected = self._position + 1
        if row["id"] != expected:
            self._break(expected, _missing(expected))
            return False
        if row["hash"] != hash_row(self._hash, row):
            self._break(expected, _changed(expected))
            return False
        self.checked += 1
        self._position, self._hash = row["id"], row["hash"]
        return True

    def _end(self, head: Head) -> None:
        self.is_over = True
        if self._problem is None and (self._position, self._hash) != (head.last_id, head.last_hash):
            self._break(head.last_id, _ends(self._position, head.last_id))

    def _break(self, bad_id: int, problem: Reason) -> None:
        self.is_over, self._bad_id, self._problem = True, bad_id, problem

    def result(self) -> ChainCheck:
        return ChainCheck(
            checked=self.checked,
            first_id=self._first_id,
            kept_since=maybe_time(self._kept_since),
            last_id=self._position,
            last_hash=self._hash,
            next_id=None if self.is_over else self._position,
            bad_id=self._bad_id,
            problem=self._problem,
        )


def _plain(row: RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _missing(id_: int) -> Reason:
    return Reason.of("row {id} is missing", "audit_missing", id=id_)


def _changed(id_: int) -> Reason:
    return Reason.of("row {id} does not match the row before it: one of the two was changed", "audit_changed", id=id_)


def _ends(id_: int | None, last: int) -> Reason:
    return Reason.of("the chain ends with row {id} instead of row {last}", "audit_end", id=id_, last=last)


def _conditions(wanted: AuditFilter) -> Sequence[ColumnElement[bool]]:
    equal = {"actor": wanted.actor, "object": wanted.object, "outcome": wanted.outcome}
    conditions = [audit.c[name] == value for name, value in equal.items() if value is not None]
    if wanted.operations is not None:
        conditions.append(audit.c.operation.in_(wanted.operations))
    if wanted.since is not None:
        conditions.append(audit.c.at >= to_seconds(wanted.since))
    if wanted.until is not None:
        conditions.append(audit.c.at < to_seconds(wanted.until))
    return conditions
