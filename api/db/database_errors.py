"""Translate exceptions of both drivers into the service's errors, and detect that the storage was replaced."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.errors import DatabaseDamaged, DatabaseUnavailable, StorageFull, StorageGone

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


#: Device and inode; None if the path does not exist.
Identity = tuple[int, int] | None

_RETRY_AFTER = {"Retry-After": "5"}


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


def identify(path: Path | str) -> Identity:
    """Return the identity of this path now; None if it cannot be reached."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class GuardedPaths:
    """The paths that hold all acknowledged data: STORAGE_ROOT, and the file of the database.

    An open file survives the deletion or replacement of its name: a write to it succeeds, but the data is lost after a
    restart. Therefore the paths are checked with every write. Nothing is checked before `note` is called.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._noted: dict[Path, Identity] = {}

    def note(self) -> None:
        """Record the current identities. From now on they must stay the same."""
        self._noted = {path: identify(path) for path in self._paths}

    def problems(self) -> Iterator[str]:
        """Yield a description of each path that was moved, deleted or replaced, with what to do."""
        for path, noted in self._noted.items():
            now = identify(path)
            if now != noted:
                yield describe_loss(path, now)

    def check(self) -> None:
        """Raise StorageGone if one of the paths has changed."""
        for problem in self.problems():
            raise gone(problem)


def describe_loss(path: Path | str, now: Identity) -> str:
    """Return a description of what has happened to a path that has changed."""
    if now is None:
        return f"{path} is missing (deleted, moved or unmounted): restore it, or restart this service"
    remedy = "restore the former one, or restart this service to use the new one"
    return f"{path} was replaced since the start: {remedy}"


def gone(problem: str) -> StorageGone:
    """Return the error for a path that has changed."""
    return StorageGone(
        f"The service accepts no changes, since its storage has changed: {problem}.", headers=_RETRY_AFTER
    )
