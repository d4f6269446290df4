"""Copies a SQLite database that is in use, and puts a copy in the place of one that nobody uses."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from api.db.backup_file import BackupError
from api.db.privacy import SQLITE_SUFFIXES
from api.util.durable import sync_directory

#: Seconds to wait for a lock.
_LOCK_SECONDS = 60.0

#: What reading a damaged file raises: the driver cannot decode SQLite's message where the damage is in a name.
_UNREADABLE = (sqlite3.Error, UnicodeDecodeError, TypeError)

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
    except _UNREADABLE as error:
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
    except _UNREADABLE as error:
        raise BackupError(f"the database in the backup cannot be read: {error}") from error
    return revision


def replace_sqlite(current: Path, new: Path, suffix: str) -> Path | None:
    """Put `new` in the place of the database, and keep that one under its name with `suffix`.

    Return where the former one is now; None when there was none. There is a database at every moment: a start after a
    kill finds the former one or the new one, and never makes an empty one. Raise OSError, and BackupError while another
    process has it open.
    """
    with _alone(current):
        kept = current.with_name(current.name + suffix)
        for ending in SQLITE_SUFFIXES:
            with suppress(FileNotFoundError):
                _keep(current.with_name(current.name + ending), kept.with_name(kept.name + ending))
        sync_directory(current.parent)
        # Beside another database the log of the former one would change that.
        for ending in filter(None, SQLITE_SUFFIXES):
            current.with_name(current.name + ending).unlink(missing_ok=True)
        os.replace(new, current)
        sync_directory(current.parent)
        return kept if kept.exists() else None


def _keep(file: Path, kept: Path) -> None:
    try:
        os.link(file, kept)
    except FileNotFoundError:
        raise
    except OSError:
        # The file system has no hard links.
        shutil.copy2(file, kept)


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
        except _UNREADABLE:
            # It is damaged, which may be why another one takes its place: it is kept as it is.
            pass
        yield
