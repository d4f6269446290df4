"""The audit's hash chain: each row has a hash of itself and of the previous row; the head row has both ends.

Transactions lock the head row last, so that writers queue up and never deadlock.
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
from api.domain.access.audit import AuditEntry, AuditOutcome, AuditRecord, RequestNote, current_note
from api.util.logs import AUDIT_LOGGER
from api.util.text.masking import MASK, is_secret_name, mask_secrets

#: Its lines are always JSON, at every log level: see `util/logs`.
logger = logging.getLogger(AUDIT_LOGGER)

#: The hash before the first row.
GENESIS = "0" * 64

_HEAD = 1

# Built once: building a statement takes longer than executing it.
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
#: Inserts one row and moves the head in one statement (PostgreSQL only), to save a round trip.
_INSERT_AND_MOVE = _INSERT.values({column.name: bindparam(f"row_{column.name}") for column in audit.c}).add_cte(
    _MOVE_HEAD.cte("moved")
)

#: Stores what a request with an Idempotency-Key has created, for a retry after a crash.
_OF_SCOPE = kept_answers.c.scope == bindparam("of_scope")
_NOTE_MADE = update(kept_answers).where(_OF_SCOPE).values(made=bindparam("what", type_=Document))

#: The lengths of the text columns in characters.
_TEXTS = {
    str(column.name): column.type.length
    for column in audit.c
    if isinstance(column.type, String) and column.type.length and column.name not in ("outcome", "hash")
}


#: Maximum size of a value in bytes of JSON.
MAX_BYTES = 16 * 1024

#: Maximum numbers of characters of a text, of values of a list or an object, and of levels of nesting.
MAX_CHARACTERS, MAX_VALUES, MAX_DEPTH = 500, 64, 12

#: Characters that are searched for secrets before a text is cut, so that no secret is cut.
_SEARCHED_CHARACTERS = 4 * MAX_CHARACTERS

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS


def shorten(value: Any) -> Any:
    """Return the value as JSON of at most MAX_BYTES.

    A larger value is replaced by its size and SHA-256. None stays None.
    """
    if value is None:
        return None
    whole = orjson.dumps(value, option=_OPTIONS, default=str)
    short = _shorten(orjson.loads(whole), MAX_DEPTH)
    if len(orjson.dumps(short)) > MAX_BYTES:
        return {"left_out_bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    return short


def _shorten(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return shorten_text(value, MAX_CHARACTERS)
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        return "…"
    if isinstance(value, list):
        short = [_shorten(each, depth - 1) for each in value[:MAX_VALUES]]
        return short if len(value) <= MAX_VALUES else [*short, f"… and {len(value) - MAX_VALUES} more"]
    shown = {
        shorten_text(name, MAX_CHARACTERS): MASK
        if is_secret_name(name) and each is not None
        else _shorten(each, depth - 1)
        for name, each in list(value.items())[:MAX_VALUES]
    }
    return shown if len(value) <= MAX_VALUES else {**shown, "…": f"{len(value) - MAX_VALUES} more"}


def shorten_text(text: str, characters: int) -> str:
    """Return the text with secrets masked, cut to this many characters, in a form that every database accepts."""
    shown = mask_secrets(text[:_SEARCHED_CHARACTERS]).replace("\0", "\N{REPLACEMENT CHARACTER}")
    shown = shown.encode(errors="replace").decode()
    return shown if len(shown) <= characters and len(text) <= _SEARCHED_CHARACTERS else shown[: characters - 1] + "…"


class Head(NamedTuple):
    """Both ends of the chain."""

    first_id: int  #: of the oldest stored row, or of the next one if there is none
    before_first: str  #: the hash of the row before it
    last_id: int
    last_hash: str


def append(connection: Connection, entries: Iterable[AuditEntry]) -> list[AuditRecord]:
    """Append rows. This must be the last change of the transaction."""
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


def store_note(connection: Connection) -> RequestNote | None:
    """Append the note about the current request. Returns None if there is none, or if it is stored already."""
    note = current_note.get()
    if note is None or not note.is_change:
        return None
    if note.key_scope is not None and note.has_changed and note.object is not None:
        values = note.after.items() if isinstance(note.after, dict) else ()
        made = {"about": note.object, "numbers": {name: value for name, value in values if type(value) is int}}
        connection.execute(_NOTE_MADE, {"of_scope": note.key_scope, "what": made})
    if note.is_kept:
        return None
    if not note.has_changed:
        note.has_committed = True
        return None
    (note.pending,) = append(connection, [note.entry()])
    return note


def mark_stored(note: RequestNote) -> None:
    """Mark a note as stored, after its transaction has committed."""
    note.is_kept = True
    if note.pending is not None:
        log(note.pending)


def log(record: AuditRecord) -> None:
    """Log a line about a stored row, so that it can be collected outside of the database."""
    entry = record.entry
    facts = {name: getattr(entry, name) for name in ("actor", "key_id", "operation", "object", "address", "via")}
    outcome = {"outcome": entry.outcome, "code": entry.code, "count": entry.count, "request_id": entry.request_id}
    change = {"before": entry.before, "after": entry.after}
    at = {"id": record.id, "at": entry.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    logger.info("audit", extra={**at, **facts, **outcome, **change, "hash": record.hash})


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
    """Return the record of a table row."""
    return AuditRecord(row["id"], _entry(row), row["hash"])


def hash_row(before: str, row: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hexadecimal, of the previous hash and all other columns as JSON with sorted names.

    An unknown `via` is left out, so that rows from before that column keep their hashes.
    """
    content = {name: value for name, value in row.items() if name != "hash" and not (name == "via" and value is None)}
    return hashlib.sha256(before.encode() + orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def read_head(connection: Connection) -> Head | None:
    """Return both ends of the chain; None before the first row."""
    row = connection.execute(_READ_HEAD).one_or_none()
    return None if row is None else Head(*row)


def lock_head(connection: Connection) -> Head:
    """Lock the head row until the end of the transaction, and return both ends of the chain."""
    row = connection.execute(_LOCK_HEAD).one_or_none()
    if row is None:
        _make_head(connection)
        row = connection.execute(_LOCK_HEAD).one()
    return Head(*row)


def _make_head(connection: Connection) -> None:
    # If rows exist, someone has deleted the head. The new row then follows none of them, so verification fails.
    last_id = connection.scalar(select(func.max(audit.c.id))) or 0
    row = {"id": _HEAD, "first_id": 1, "before_first": GENESIS, "last_id": last_id, "last_hash": GENESIS}
    try:
        with connection.begin_nested():
            connection.execute(insert(audit_chain).values(row))
    except IntegrityError:
        # Another server was faster.
        return
