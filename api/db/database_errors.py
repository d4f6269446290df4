"""Translates what the drivers of both databases raise into the service's own errors."""

import sqlite3

from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.errors import DatabaseDamaged, DatabaseUnavailable, StorageFull

RETRY_AFTER = {"Retry-After": "2"}

ALL_IN_USE = "Every connection to the database is in use."

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NO_ACCESS = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}
#: How the driver begins its message about a column whose text it cannot decode; it gives no code.
_NOT_UTF_8 = "Could not decode to UTF-8"

#: SQLSTATEs of PostgreSQL: a full disk, damaged data, a damaged index.
_PG_FULL, _PG_DAMAGED = "53100", {"XX001", "XX002"}

#: A write on a replica, or on a database that is closed to changes.
_PG_READ_ONLY = "25006"

#: What libpq says of a server that takes no changes; there is no code for it.
_SAYS_READ_ONLY = ("read-only", "read only", "hot standby")

#: What to do where the only servers that answer take no changes.
PROMOTE = "What answers takes no changes: promote the replica, or name in DATABASE_URL the server that takes them."

#: Errors that blame the statement itself: its caller knows what they mean, or is wrong.
_CALLERS = (IntegrityError, DataError)


def driver_errors(engine: Engine) -> tuple[type[Exception], ...]:
    """The exceptions that the engine's driver, or SQLAlchemy around it, raises."""
    # The driver is asked for: to name PostgreSQL's here would load it for SQLite too, 11 MB.
    return SQLAlchemyError, engine.dialect.loaded_dbapi.Error


def translate(error: Exception) -> DatabaseUnavailable | None:
    """The service's error for one of a driver; None for what a statement's caller has to answer for."""
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable(ALL_IN_USE, headers=RETRY_AFTER)
    if isinstance(error, _CALLERS) and not error.connection_invalidated:
        return None
    kind, text = DatabaseUnavailable, say(error)
    if is_damage(error):
        kind, text = DatabaseDamaged, f"The database is damaged ({text.rstrip('.')}): restore it from a backup."
    elif is_full(error):
        kind, text = StorageFull, f"The disk of the database is full ({text.rstrip('.')}): nothing was changed."
    elif is_read_only(error):
        text = f"{text} {PROMOTE}"
    return kind(text, headers=RETRY_AFTER)


def is_damage(error: Exception) -> bool:
    """Whether the error says that stored data cannot be read any more."""
    cause = _cause(error)
    is_undecodable = isinstance(cause, sqlite3.Error) and str(cause).startswith(_NOT_UTF_8)
    return is_undecodable or _sqlite_code(cause) in _DAMAGED or getattr(cause, "sqlstate", None) in _PG_DAMAGED


def is_full(error: Exception) -> bool:
    """Whether the error says that there is no room to write."""
    cause = _cause(error)
    return _sqlite_code(cause) == sqlite3.SQLITE_FULL or getattr(cause, "sqlstate", None) == _PG_FULL


def is_read_only(error: Exception) -> bool:
    """Whether the error says that the PostgreSQL which answers is a replica, or closed to changes."""
    cause = _cause(error)
    state = getattr(cause, "sqlstate", None)
    if state is not None or getattr(cause, "sqlite_errorcode", None) is not None:
        return state == _PG_READ_ONLY
    return any(words in str(cause) for words in _SAYS_READ_ONLY)


def is_access(error: Exception) -> bool:
    """Whether the error says that a SQLite file cannot be opened, made or written here."""
    return _sqlite_code(_cause(error)) in _NO_ACCESS


def say(error: Exception) -> str:
    """The first line of the driver's own message, as a sentence."""
    cause = _cause(error)
    first = str(cause).strip().splitlines() or [type(cause).__name__]
    return f"{first[0]}."


def _cause(error: Exception) -> BaseException:
    return (error.orig if isinstance(error, DBAPIError) else None) or error


def _sqlite_code(cause: BaseException) -> int | None:
    code = getattr(cause, "sqlite_errorcode", None)
    # The upper bytes tell the particular case of the same code.
    return None if code is None else code & 0xFF
