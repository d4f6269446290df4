"""Exclusive holds: claimed all at once or not at all, by the primary key of the table."""

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
from api.domain.lease import Lease, LeaseKind, LeaseState
from api.domain.training import AttemptStatus

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
    """Somebody else was first: who holds what, by resource; empty when they have left meanwhile."""

    def __init__(self, held: Mapping[str, str]) -> None:
        super().__init__(", ".join(f"{resource} is held by {task_id}" for resource, task_id in held.items()))
        self.held = dict(held)


@dataclass(frozen=True, slots=True)
class Holder:
    """On whose behalf a claim is made. `expires_at` None holds until it is released."""

    task_id: str
    token: str
    attempt_uid: str | None = None
    expires_at: datetime | None = None


def claim(connection: Connection, resources: Iterable[tuple[LeaseKind, str]], holder: Holder, now: datetime) -> None:
    """Takes all these resources. Raises ResourceHeld; the transaction must then be rolled back."""
    # Always in the same order: two claims for the same GPUs then wait for each other, and never in a circle.
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
    taken = connection.execute(_take_what_is_free(connection.dialect.name), rows).all()
    if len(taken) < len(rows):
        gone = {resource for resource, _ in wanted} - {row.resource for row in taken}
        held = connection.execute(_HELD, {"names": list(gone)})
        raise ResourceHeld({row.resource: row.task_id for row in held})


@cache
def _take_what_is_free(dialect: str) -> ReturningInsert[Any]:
    """One statement for all rows, whose refusal is no error: PostgreSQL would log each. It waits for those who are
    about to take the same, and returns what it took.
    """
    if dialect == "postgresql":
        return postgresql.insert(leases).on_conflict_do_nothing().returning(leases.c.resource)
    return sqlite.insert(leases).on_conflict_do_nothing().returning(leases.c.resource)


def list_leases(connection: Connection, kind: LeaseKind | None = None) -> list[Lease]:
    """Every lease, or every one of a kind."""
    rows = connection.execute(_ALL) if kind is None else connection.execute(_OF_KIND, {"of_kind": kind})
    return [read_lease(row) for row in rows]


def renew(connection: Connection, tokens: Sequence[str], expires_at: datetime) -> int:
    """Moves the expiry of what is held with these tokens; returns how many leases there were."""
    return connection.execute(_RENEW, {"tokens": list(tokens), "until": to_seconds(expires_at)}).rowcount


def drain(connection: Connection, token: str, now: datetime) -> None:
    """Gives up what an ended holder has: its GPUs drain, everything else is free at once."""
    connection.execute(_LEAVE, {"of_token": token})
    connection.execute(_DRAIN, {"of_token": token, "draining_since": to_seconds(now)})


def release_drained(connection: Connection, token: str, resource: str) -> bool:
    """Frees a resource whose last holder has ended; False when that was done before."""
    return connection.execute(_RELEASE_DRAINED, {"of_resource": resource, "of_token": token}).rowcount > 0


def release_expired(connection: Connection, now: datetime) -> list[Lease]:
    """Frees and returns the leases that have expired and belong to no open attempt, so that nobody renews them."""
    # One statement: an attempt that ends in this moment keeps its GPUs draining.
    gone = connection.execute(_FREE_EXPIRED, {"now": to_seconds(now)})
    return sorted((read_lease(row) for row in gone), key=lambda lease: lease.resource)


def release(connection: Connection, token: str, kind: LeaseKind) -> int:
    """Gives up the leases of this kind with this token; returns how many there were."""
    return connection.execute(_RELEASE, {"of_token": token, "of_kind": kind}).rowcount
