"""Copies a SQLite database that is in use, and puts a copy in the place of one that nobody uses."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from api.storage.backup_file import BackupError
from api.storage.privacy import SQLITE_SUFFIXES
from api.utils.durable import sync_directory

#: Seconds to wait for a lock.
_LOCK_SECONDS = 60.0

_REVISION = "SELECT version_num FROM alembic_version"
_NOBODY_LEADS = "UPDATE leadership SET holder = ''"


def copy_sqlite(source: Path, target: Path) -> str:
    """Copies one state of the database while others go on to write, by SQLite's own means. Returns its revision.

    Raises BackupError.
    """
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=_LOCK_SECONDS)) as used,
            closing(sqlite3.connect(target)) as copy,
        ):
            target.chmod(0o600)
            # All pages in one step, within one read transaction: in several, each write of others begins it anew.
            used.backup(copy)
            # The copy is one file, without a log beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
            return check_sqlite(copy)
    except sqlite3.Error as error:
        raise BackupError(f"the database {source} cannot be copied: {error}") from error


def check_sqlite(connection: sqlite3.Connection) -> str:
    """Looks through the whole database for damage; returns its revision. Raises sqlite3.Error, BackupError."""
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise BackupError(f"the database is damaged: {str(found).strip()}")
    return str(connection.execute(_REVISION).fetchone()[0])


def prepare_sqlite(copy: Path) -> str:
    """Checks a copy that is to be used, and notes in it that nobody leads. Returns its revision. Raises BackupError."""
    try:
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            revision = check_sqlite(connection)
            connection.execute(_NOBODY_LEADS)
    except (sqlite3.Error, TypeError) as error:
        raise BackupError(f"the database in the backup cannot be read: {error}") from error
    return revision


def replace_sqlite(current: Path, new: Path, suffix: str) -> Path | None:
    """Puts `new` in the place of the database, and keeps that one under its name with `suffix`. Returns where it lies
    now; None when there was none. Raises OSError, and BackupError while another process has it open.
    """
    with _alone(current):
        kept = current.with_name(current.name + suffix)
        # The log first: beside another database it would change that one.
        for ending in reversed(SQLITE_SUFFIXES):
            with suppress(FileNotFoundError):
                os.rename(current.with_name(current.name + ending), kept.with_name(kept.name + ending))
        os.rename(new, current)
        sync_directory(current.parent)
        return kept if kept.exists() else None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Holds the lock that no other connection can share, within the `with` block. Raises BackupError."""
    if not path.exists():
        yield
        return
    with closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            # Not given while anybody else has the database open, even where they only wait; and the log is taken in.
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise BackupError(f"{path} is in use: end the server, and whatever else has it open, first") from error
        except sqlite3.DatabaseError:
            # It is damaged, which may be why another one is to take its place: it is kept as it is.
            pass
        yield
