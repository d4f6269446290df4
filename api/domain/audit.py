"""What the audit keeps: who did what to what, from where, and how that ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.reason import Reason, ReasonCode


class AuditOutcome(StrEnum):
    """How something ended that the audit keeps."""

    DONE = "done"
    REFUSED = "refused"
    DROPPED = "dropped"  #: there was more to be noted than there is room for; `count` says how much


#: The actors of what nobody asked for by HTTP: the service by itself, and whoever commands this machine.
SERVICE, OPERATOR = "service", "operator"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something to be kept in the audit."""

    at: datetime
    actor: str
    operation: str  #: method and address, or words
    outcome: AuditOutcome = AuditOutcome.DONE
    key_id: str | None = None  #: the key that was used
    object: str | None = None  #: the id of what it was done to
    address: str | None = None  #: where the request came from
    request_id: str | None = None
    code: str | None = None  #: why it was refused
    count: int = 1  #: how often, within a minute
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A row of the audit; `hash` covers it and the row before."""

    id: int
    entry: AuditEntry
    hash: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which rows are wanted; None does not choose. The operation is any one of `operations`."""

    actor: str | None = None
    operations: tuple[str, ...] | None = None
    object: str | None = None
    outcome: AuditOutcome | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChainCheck:
    """What a walk along the audit's chain has found. `next_id` is where to go on when it stopped at its bound."""

    checked: int  #: rows
    first_id: int | None  #: the oldest row that is kept
    kept_since: datetime | None
    last_id: int | None  #: the row that it came to
    last_hash: str | None
    next_id: int | None = None
    bad_id: int | None = None  #: where the chain is broken first
    problem: Reason | None = None

    @property
    def is_unbroken(self) -> bool:
        """Whether nothing was found that does not fit."""
        return self.problem is None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of the audit as it is answered."""

    id: int
    at: datetime
    actor: str
    key_id: str | None
    operation: str
    object: str | None
    address: str | None
    request_id: str | None
    outcome: AuditOutcome
    code: str | None
    count: int
    before: Any
    after: Any
    hash: str

    @classmethod
    def of(cls, record: AuditRecord) -> "AuditRow":
        """The row of a record."""
        return cls(record.id, hash=record.hash, **asdict(record.entry))


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """Whether the audit is what was written, as it is answered."""

    ok: bool
    complete: bool  #: False: so far; `next_cursor` leads on
    next_cursor: str | None
    checked: int  #: rows
    first_id: int | None  #: the oldest row that is kept
    kept_since: datetime | None
    last_id: int | None  #: the row that the walk came to, and its hash
    last_hash: str | None
    bad_id: int | None  #: the first row where it is broken
    problem: str | None
    problem_code: ReasonCode | None
    anchor_holds: bool | None  #: whether the row that was named still has the hash that was named


@dataclass(slots=True)
class RequestNote:
    """What the audit will say of the request that is being answered, as it becomes known."""

    at: datetime
    actor: str
    operation: str
    is_change: bool  #: the transaction that makes the change keeps this note
    key_id: str | None = None
    object: str | None = None
    address: str | None = None
    request_id: str | None = None
    before: Any = None
    after: Any = None
    key_scope: str | None = None  #: of the Idempotency-Key: the same transaction keeps what was made
    has_changed: bool = False  #: somebody has said what it changes: the next transaction to be committed keeps it
    has_committed: bool = False  #: one was committed before that
    refused_with: str | None = None  #: the code of a refusal
    pending: AuditRecord | None = field(default=None, repr=False)  #: appended, and not yet committed
    is_kept: bool = False

    def entry(self) -> AuditEntry:
        """This note as it is to be kept."""
        return AuditEntry(
            at=self.at,
            actor=self.actor,
            operation=self.operation,
            outcome=AuditOutcome.DONE if self.refused_with is None else AuditOutcome.REFUSED,
            key_id=self.key_id,
            object=self.object,
            address=self.address,
            request_id=self.request_id,
            code=self.refused_with,
            before=self.before,
            after=self.after,
        )


#: The note about the request that is being answered. The shell sets it; the service's own loops have none.
current_note: ContextVar[RequestNote | None] = ContextVar("current_note", default=None)


@contextmanager
def noting(note: RequestNote) -> Iterator[RequestNote]:
    """Keeps this note with the first transaction of the `with` block that is committed after `note_change`."""
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
    """Says what the present request changes: the id of that, and how it was before and is afterwards; of a sign-in also
    who it turned out to be, and with which key. What was said earlier stays. Without a request it does nothing.
    """
    note = current_note.get()
    if note is None:
        return
    note.has_changed = True
    told = {"object": about, "before": before, "after": after, "actor": actor, "key_id": key_id}
    for name, value in told.items():
        said = getattr(note, name)
        if isinstance(said, dict) and isinstance(value, dict):
            setattr(note, name, {**said, **value})
        elif value is not None:
            setattr(note, name, value)


def forget_change() -> None:
    """Takes back what was said of a change: it was not made."""
    note = current_note.get()
    if note is not None:
        note.has_changed, note.before, note.after = False, None, None


def note_refusal(code: str) -> None:
    """Says that the present request is refused, and why."""
    note = current_note.get()
    if note is not None:
        note.refused_with = code
