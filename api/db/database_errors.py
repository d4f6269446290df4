"""Translate exceptions of both database drivers into the service's errors."""

import sqlite3

from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.errors import DatabaseDamaged, DatabaseUnavailable, StorageFull

RETRY_AFTER = {"Retry-After": "2"}

ALL_IN_USE = "All connections to the database are in use."

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NO_ACCESS = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}
#: The start of the driver's message about a column that is not UTF-8; there is no code for it.
_NOT_UTF_8 = "Could not decode to UTF-8"

#: PostgreSQL's SQLSTATEs: a full disk, damaged data, a damaged index.
_PG_FULL, _PG_DAMAGED = "53100", {"XX001", "XX002"}

#: A write on a replica, or on a read-only database.
_PG_READ_ONLY = "25006"

#: libpq's messages about a server that is read-only; there is no code for them.
_SAYS_READ_ONLY = ("read-only", "read only", "hot standby")

#: The remedy if only read-only servers answer.
PROMOTE = "The server is read-only: promote the replica, or set DATABASE_URL to the primary."

#: Errors about the statement itself, which its caller handles.
_CALLERS = (IntegrityError, DataError)


def driver_errors(engine: Engine) -> tuple[type[Exception], ...]:
    """Return the exceptions that the engine's driver, or SQLAlchemy, raises."""
    # Asked from the engine, since importing PostgreSQL's driver takes 11 MB.
    return SQLAlchemyError, engine.dialect.loaded_dbapi.Error


def translate(error: Exception) -> DatabaseUnavailable | None:
    """Return the service's error for a driver's error; None for errors that the caller must handle."""
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable(ALL_IN_USE, headers=RETRY_AFTER)
    if isinstance(error, _CALLERS) and not error.connection_invalidated:
        return None
    kind, text = DatabaseUnavailable, first_line(error)
    if is_damage(error):
        kind, text = DatabaseDamaged, f"The database is damaged ({text.rstrip('.')}): restore it from a backup."
    elif is_full(error):
        kind, text = StorageFull, f"The disk of the database is full ({text.rstrip('.')}). Nothing was changed."
    elif is_read_only(error):
        text = f"{text} {PROMOTE}"
    return kind(text, headers=RETRY_AFTER)


def is_damage(error: Exception) -> bool:
    """Return whether the error means that stored data is damaged."""
    cause = _cause(error)
    is_undecodable = isinstance(cause, sqlite3.Error) and str(cause).startswith(_NOT_UTF_8)
    return is_undecodable or _sqlite_code(cause) in _DAMAGED or getattr(cause, "sqlstate", None) in _PG_DAMAGED


def is_full(error: Exception) -> bool:
    """Return whether the error means that the disk is full."""
    cause = _cause(error)
    return _sqlite_code(cause) == sqlite3.SQLITE_FULL or getattr(cause, "sqlstate", None) == _PG_FULL


def is_read_only(error: Exception) -> bool:
    """Return whether the error means that the PostgreSQL server is a replica or read-only."""
    cause = _cause(error)
    state = getattr(cause, "sqlstate", None)
    if state is not None or getattr(cause, "sqlite_errorcode", None) is not None:
        return state == _PG_READ_ONLY
    return any(phrase in str(cause) for phrase in _SAYS_READ_ONLY)


def is_access(error: Exception) -> bool:
    """Return whether the error means that a SQLite file cannot be opened, created or written."""
    return _sqlite_code(_cause(error)) in _NO_ACCESS


def first_line(error: Exception) -> str:
    """Return the first line of the driver's message, as a sentence."""
    cause = _cause(error)
    first = str(cause).strip().splitlines() or [type(cause).__name__]
    return f"{first[0]}."


def _cause(error: Exception) -> BaseException:
    return (error.orig if isinstance(error, DBAPIError) else None) or error


def _sqlite_code(cause: BaseException) -> int | None:
    code = getattr(cause, "sqlite_errorcode", None)
    # The upper bytes have details of the same code.
    return None if code is None else code & 0xFF
