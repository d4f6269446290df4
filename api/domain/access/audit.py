"""Audit entries: who changed what, from where, and with which outcome."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.reason import Reason, ReasonCode


class AuditOutcome(StrEnum):
    """The outcome of an audited operation."""

    DONE = "done"
    REFUSED = "refused"
    DROPPED = "dropped"  #: entries were lost for lack of space; `count` is their number


#: Actors of operations without a request: the service itself, and operators with access to the machine.
SERVICE, OPERATOR = "service", "operator"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry to store in the audit."""

    at: datetime
    actor: str
    operation: str  #: method and path, or a description
    outcome: AuditOutcome = AuditOutcome.DONE
    key_id: str | None = None  #: key that authenticated the request
    object: str | None = None  #: id of the changed object
    address: str | None = None  #: address of the client
    via: str | None = None  #: kind of client, as its User-Agent states it
    request_id: str | None = None
    code: str | None = None  #: error code of a rejected request
    count: int = 1  #: occurrences within a minute
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A row of the audit. `hash` covers it and the previous row."""

    id: int
    entry: AuditEntry
    hash: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which rows to return. None does not restrict them. The operation is any of `operations`."""

    actor: str | None = None
    operations: tuple[str, ...] | None = None
    object: str | None = None
    outcome: AuditOutcome | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChainCheck:
    """The result of checking the audit's hash chain. `next_id` is where to continue after its limit was reached."""

    checked: int  #: rows
    first_id: int | None  #: oldest stored row
    kept_since: datetime | None
    last_id: int | None  #: last row that was checked
    last_hash: str | None
    next_id: int | None = None
    bad_id: int | None = None  #: first row where the chain is broken
    problem: Reason | None = None

    @property
    def is_unbroken(self) -> bool:
        """Whether no problem was found."""
        return self.problem is None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of the audit as the API shows it."""

    id: int  #: increases with each row
    at: datetime  #: when it happened
    actor: str  #: user, `service`, or `operator`
    key_id: str | None  #: key of the request; null if none
    operation: str  #: method and path, or a description
    object: str | None  #: id of what was changed; null if none
    address: str | None  #: address of the client; null if none
    via: str | None  #: kind of client as it states it: `mcp` is an agent; null if unknown
    request_id: str | None  #: id of the request in the log; null if it was none
    outcome: AuditOutcome  #: whether it was done or refused
    code: str | None  #: error code of a refusal; null if it was done
    count: int  #: number of equal refusals within a minute
    before: Any  #: changed values before, secrets masked; null if none
    after: Any  #: changed values after, secrets masked; null if none
    hash: str  #: hash of this row and the previous one

    @classmethod
    def of(cls, record: AuditRecord) -> "AuditRow":
        """Return the row of a record."""
        return cls(record.id, hash=record.hash, **asdict(record.entry))


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """Whether the audit is unchanged, as the API shows it."""

    ok: bool  #: whether no row was changed or removed
    complete: bool  #: False: the check stopped at its limit; continue with `next_cursor`
    next_cursor: str | None  #: where to continue; null if it is complete
    checked: int  #: rows
    first_id: int | None  #: oldest stored row
    kept_since: datetime | None  #: time of the oldest stored row
    last_id: int | None  #: last row that was checked, and its hash
    last_hash: str | None  #: hash of the row `last_id`
    bad_id: int | None  #: first row where the chain is broken
    problem: str | None  #: what is wrong; null if nothing is
    problem_code: ReasonCode | None  #: code of the problem, for programs and translations
    anchor_holds: bool | None  #: whether the requested row still has the requested hash


@dataclass(slots=True)
class RequestNote:
    """The audit entry of the current request, filled in while it is processed."""

    at: datetime
    actor: str
    operation: str
    is_change: bool  #: the transaction of the change stores this note
    key_id: str | None = None
    object: str | None = None
    address: str | None = None
    via: str | None = None
    request_id: str | None = None
    before: Any = None
    after: Any = None
    key_scope: str | None = None  #: scope of the Idempotency-Key; the same transaction stores the result
    has_changed: bool = False  #: a change was recorded: the next committed transaction stores it
    has_committed: bool = False  #: an earlier transaction of this request was committed
    refused_with: str | None = None  #: error code of the rejection
    pending: AuditRecord | None = field(default=None, repr=False)  #: appended, but not yet committed
    is_kept: bool = False

    def entry(self) -> AuditEntry:
        """Return this note as an audit entry."""
        return AuditEntry(
            at=self.at,
            actor=self.actor,
            operation=self.operation,
            outcome=AuditOutcome.DONE if self.refused_with is None else AuditOutcome.REFUSED,
            key_id=self.key_id,
            object=self.object,
            address=self.address,
            via=self.via,
            request_id=self.request_id,
            code=self.refused_with,
            before=self.before,
            after=self.after,
        )


#: The note of the current request, set by the HTTP layer. The service's own loops have none.
current_note: ContextVar[RequestNote | None] = ContextVar("current_note", default=None)


@contextmanager
def noting(note: RequestNote) -> Iterator[RequestNote]:
    """Store this note with the first transaction that commits after `note_change` within the `with` block."""
    token = current_note.set(note)
    try:
        yield note
    finally:
        current_note.reset(token)


def note_change(
    *,
    about: str | None = None,
    before: Any = None,
    after: Any = None,
    actor: str | None = None,
    key_id: str | None = None,
) -> None:
    """Record the change of the current request: the object's id, and its state before and after.

    A sign-in also records the actor and the key. Earlier values remain. Outside of a request this does nothing.
    """
    note = current_note.get()
    if note is None:
        return
    note.has_changed = True
    values = {"object": about, "before": before, "after": after, "actor": actor, "key_id": key_id}
    for name, value in values.items():
        earlier = getattr(note, name)
        if isinstance(earlier, dict) and isinstance(value, dict):
            setattr(note, name, {**earlier, **value})
        elif value is not None:
            setattr(note, name, value)


def forget_change() -> None:
    """Discard the recorded change, because it was not made."""
    note = current_note.get()
    if note is not None:
        note.has_changed, note.before, note.after = False, None, None


def note_refusal(code: str) -> None:
    """Record that the current request is rejected with this error code."""
    note = current_note.get()
    if note is not None:
        note.refused_with = code
