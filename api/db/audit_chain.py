"""The audit's chain: each row has the hash of itself and of the row before, and the head says where it begins and ends.

The head's row is the last that a transaction locks: so writers follow one another, and never wait in a circle.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, String, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.db.columns import Document
from api.db.rows import to_seconds, to_time
from api.db.tables import audit, audit_chain, kept_answers
from api.domain.audit import AuditEntry, AuditOutcome, AuditRecord, RequestNote, current_note
from api.util.logs import AUDIT_LOGGER
from api.util.shortening import shorten, shorten_text

#: Its lines are JSON whatever the others are, and are written at every level: see `util/logs`.
logger = logging.getLogger(AUDIT_LOGGER)

#: What the first row of all follows.
GENESIS = "0" * 64

_HEAD = 1

# Made once: to build a statement anew takes longer than to execute it.
_READ_HEAD = select(
    audit_chain.c.first_id, audit_chain.c.before_first, audit_chain.c.last_id, audit_chain.c.last_hash
).where(audit_chain.c.id == _HEAD)
_LOCK_HEAD = _READ_HEAD.with_for_update()
_MOVE_HEAD = (
    update(audit_chain)
    .where(audit_chain.c.id == bindparam("head"))
    .values(last_id=bindparam("new_last_id"), last_hash=bindparam("new_last_hash"))
)
_INSERT = insert(audit)
#: One row and the move of the head in one statement, which only PostgreSQL knows: a question less to the server.
_INSERT_AND_MOVE = _INSERT.values({column.name: bindparam(f"row_{column.name}") for column in audit.c}).add_cte(
    _MOVE_HEAD.cte("moved")
)

#: What a request with an Idempotency-Key has made: a retry after a kill finds it.
_OF_SCOPE = kept_answers.c.scope == bindparam("of_scope")
_NOTE_MADE = update(kept_answers).where(_OF_SCOPE).values(made=bindparam("what", type_=Document))

#: Characters that the columns of texts take.
_TEXTS = {
    str(column.name): column.type.length
    for column in audit.c
    if isinstance(column.type, String) and column.type.length and column.name not in ("outcome", "hash")
}


class Head(NamedTuple):
    """Both ends of the chain."""

    first_id: int  #: of the oldest row that is kept, or of the next one when none is
    before_first: str  #: the hash that it follows
    last_id: int
    last_hash: str


def append(connection: Connection, entries: Iterable[AuditEntry]) -> list[AuditRecord]:
    """Appends rows, which must be the last that this transaction does."""
    head = lock_head(connection)
    last_id, last_hash = head.last_id, head.last_hash
    rows = []
    for entry in entries:
        last_id += 1
        row = {"id": last_id, **_row(entry)}
        last_hash = row["hash"] = hash_row(last_hash, row)
        rows.append(row)
    moved = {"head": _HEAD, "new_last_id": last_id, "new_last_hash": last_hash}
    if len(rows) == 1 and connection.dialect.name == "postgresql":
        connection.execute(_INSERT_AND_MOVE, {**{f"row_{name}": value for name, value in rows[0].items()}, **moved})
    elif rows:
        connection.execute(_INSERT, rows)
        connection.execute(_MOVE_HEAD, moved)
    return [AuditRecord(row["id"], _entry(row), row["hash"]) for row in rows]


def keep_note(connection: Connection) -> RequestNote | None:
    """Appends the note about the present request; None where there is none to be kept, or it is kept already."""
    note = current_note.get()
    if note is None or not note.is_change:
        return None
    if note.key_scope is not None and note.has_changed and note.object is not None:
        told = note.after.items() if isinstance(note.after, dict) else ()
        made = {"about": note.object, "numbers": {name: value for name, value in told if type(value) is int}}
        connection.execute(_NOTE_MADE, {"of_scope": note.key_scope, "what": made})
    if note.is_kept:
        return None
    if not note.has_changed:
        note.has_committed = True
        return None
    (note.pending,) = append(connection, [note.entry()])
    return note


def tell_kept(note: RequestNote) -> None:
    """Takes it that the transaction with the note has committed."""
    note.is_kept = True
    if note.pending is not None:
        log(note.pending)


def log(record: AuditRecord) -> None:
    """One line about a row that is kept now, for whoever collects the lines elsewhere."""
    entry = record.entry
    facts = {name: getattr(entry, name) for name in ("actor", "key_id", "operation", "object", "address")}
    told = {"outcome": entry.outcome, "code": entry.code, "count": entry.count, "request_id": entry.request_id}
    change = {"before": entry.before, "after": entry.after}
    at = {"id": record.id, "at": entry.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    logger.info("audit", extra={**at, **facts, **told, **change, "hash": record.hash})


def _row(entry: AuditEntry) -> dict[str, Any]:
    texts = {name: getattr(entry, name) for name in _TEXTS}
    return {
        **{name: None if text is None else shorten_text(text, _TEXTS[name]) for name, text in texts.items()},
        "at": to_seconds(entry.at),
        "outcome": str(entry.outcome),
        "count": entry.count,
        "before": shorten(entry.before),
        "after": shorten(entry.after),
    }


def _entry(row: Mapping[str, Any]) -> AuditEntry:
    values = {name: value for name, value in row.items() if name not in ("id", "hash")}
    return AuditEntry(**{**values, "at": to_time(row["at"]), "outcome": AuditOutcome(row["outcome"])})


def read_record(row: Mapping[str, Any]) -> AuditRecord:
    """The record in a row of the table, by the names of its columns."""
    return AuditRecord(row["id"], _entry(row), row["hash"])


def hash_row(before: str, row: Mapping[str, Any]) -> str:
    """The SHA-256 of the hash before and of every other column, as JSON with sorted names, in hexadecimal."""
    content = {name: value for name, value in row.items() if name != "hash"}
    return hashlib.sha256(before.encode() + orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def read_head(connection: Connection) -> Head | None:
    """Both ends of the chain; None before the first row."""
    row = connection.execute(_READ_HEAD).one_or_none()
    return None if row is None else Head(*row)


def lock_head(connection: Connection) -> Head:
    """Both ends of the chain, which nobody else moves before this transaction ends."""
    row = connection.execute(_LOCK_HEAD).one_or_none()
    if row is None:
        _make_head(connection)
        row = connection.execute(_LOCK_HEAD).one()
    return Head(*row)


def _make_head(connection: Connection) -> None:
    # Where rows are there already, somebody has removed the head: the next row follows none of them, which shows.
    last_id = connection.scalar(select(func.max(audit.c.id))) or 0
    row = {"id": _HEAD, "first_id": 1, "before_first": GENESIS, "last_id": last_id, "last_hash": GENESIS}
    try:
        with connection.begin_nested():
            connection.execute(insert(audit_chain).values(row))
    except IntegrityError:
        # Another server was first.
        return
