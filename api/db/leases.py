"""Leases: exclusive reservations, all claimed together or not at all, enforced by the table's primary key."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from api.db.rows import read_lease, to_seconds
from api.db.tables import attempts, leases
from api.domain.machines.lease import Lease, LeaseKind, LeaseState
from api.domain.tasks.training import AttemptStatus

_ALL = select(leases).order_by(leases.c.resource)
_OF_KIND = _ALL.where(leases.c.kind == bindparam("of_kind"))
_HELD = select(leases.c.resource, leases.c.task_id).where(leases.c.resource.in_(bindparam("names", expanding=True)))


_TOKEN = leases.c.token == bindparam("of_token")
_IS_HELD = leases.c.state == LeaseState.HELD
_RENEW = (
    update(leases)
    .where(leases.c.token.in_(bindparam("tokens", expanding=True)), _IS_HELD)
    .values(expires_at=bindparam("until"))
)
_LEAVE = delete(leases).where(_TOKEN, leases.c.kind != LeaseKind.GPU)
_DRAIN = update(leases).where(_TOKEN, _IS_HELD).values(state=LeaseState.DRAINING, expires_at=None)
_RELEASE_DRAINED = delete(leases).where(
    leases.c.resource == bindparam("of_resource"), _TOKEN, leases.c.state == LeaseState.DRAINING
)
_RELEASE = delete(leases).where(_TOKEN, leases.c.kind == bindparam("of_kind"))
_IN_USE = select(attempts.c.token).where(attempts.c.status != AttemptStatus.ENDED)
_FREE_EXPIRED = (
    delete(leases).where(leases.c.expires_at < bindparam("now"), leases.c.token.not_in(_IN_USE)).returning(leases)
)


class ResourceHeld(Exception):
    """Resources are held by others: task ids by resource; empty if they were released meanwhile."""

    def __init__(self, held: Mapping[str, str]) -> None:
        super().__init__(", ".join(f"{resource} is held by {task_id}" for resource, task_id in held.items()))
        self.held = dict(held)


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a claim. With `expires_at` None the leases stay until they are released."""

    task_id: str
    token: str
    attempt_uid: str | None = None
    expires_at: datetime | None = None


def claim(connection: Connection, resources: Iterable[tuple[LeaseKind, str]], holder: Holder, now: datetime) -> None:
    """Claim all these resources. Raises ResourceHeld; the transaction must then be rolled back."""
    # In a fixed order, so that concurrent claims of the same GPUs never deadlock.
    wanted = sorted({(resource, kind) for kind, resource in resources})
    rows = [
        {
            "resource": resource,
            "kind": kind,
            "task_id": holder.task_id,
            "attempt_uid": holder.attempt_uid,
            "token": holder.token,
            "state": LeaseState.HELD,
            "claimed_at": to_seconds(now),
            "expires_at": None if holder.expires_at is None else to_seconds(holder.expires_at),
        }
        for resource, kind in wanted
    ]
    if not rows:
        return
    taken = connection.execute(_insert_free(connection.dialect.name), rows).all()
    if len(taken) < len(rows):
        gone = {resource for resource, _ in wanted} - {row.resource for row in taken}
        held = connection.execute(_HELD, {"names": list(gone)})
        raise ResourceHeld({row.resource: row.task_id for row in held})


@cache
def _insert_free(dialect: str) -> ReturningInsert[Any]:
    """Return a statement that inserts the free resources among the rows and returns them.

    A conflict is no error, because PostgreSQL would log each one. It waits for concurrent claims of the same resources.
    """
    if dialect == "postgresql":
        return postgresql.insert(leases).on_conflict_do_nothing().returning(leases.c.resource)
    return sqlite.insert(leases).on_conflict_do_nothing().returning(leases.c.resource)


def list_leases(connection: Connection, kind: LeaseKind | None = None) -> list[Lease]:
    """Return all leases, or all of a kind."""
    rows = connection.execute(_ALL) if kind is None else connection.execute(_OF_KIND, {"of_kind": kind})
    return [read_lease(row) for row in rows]


def renew(connection: Connection, tokens: Sequence[str], expires_at: datetime) -> int:
    """Extend the held leases with these tokens; return their number."""
    return connection.execute(_RENEW, {"tokens": list(tokens), "until": to_seconds(expires_at)}).rowcount


def drain(connection: Connection, token: str, now: datetime) -> None:
    """Release the leases of an ended holder, except its GPUs, which start draining."""
    connection.execute(_LEAVE, {"of_token": token})
    connection.execute(_DRAIN, {"of_token": token, "draining_since": to_seconds(now)})


def release_drained(connection: Connection, token: str, resource: str) -> bool:
    """Release a drained resource; return False if that was done before."""
    return connection.execute(_RELEASE_DRAINED, {"of_resource": resource, "of_token": token}).rowcount > 0


def release_expired(connection: Connection, now: datetime) -> list[Lease]:
    """Release and return the expired leases of tokens without an open attempt, so that none is renewed again."""
    # One statement, so that GPUs of an attempt that ends at this moment keep draining.
    gone = connection.execute(_FREE_EXPIRED, {"now": to_seconds(now)})
    return sorted((read_lease(row) for row in gone), key=lambda lease: lease.resource)


def release(connection: Connection, token: str, kind: LeaseKind) -> int:
    """Release the leases of this kind with this token; return their number."""
    return connection.execute(_RELEASE, {"of_token": token, "of_kind": kind}).rowcount
