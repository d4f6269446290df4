"""Copy a SQLite database that is in use, and replace one that is not."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from api.db.backups.file import BackupError
from api.db.privacy import SQLITE_SUFFIXES
from api.util.files.outside_files import sync_directory

#: The timeout for a lock, in seconds.
_LOCK_SECONDS = 60.0

#: Errors of damaged files; the driver cannot decode SQLite's message if the damage is in a name.
_UNREADABLE = (sqlite3.Error, UnicodeDecodeError, TypeError)

_REVISION = "SELECT version_num FROM alembic_version"
_REMOVE_LEADERS = "UPDATE leadership SET holder = ''"


def copy_sqlite(source: Path, target: Path) -> str:
    """Copy a snapshot of the database while others may write, and return its revision. Raises BackupError."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=_LOCK_SECONDS)) as used,
            closing(sqlite3.connect(target)) as copy,
        ):
            target.chmod(0o600)
            # All pages in one step, in one read transaction; otherwise each write of others would restart the copy.
            used.backup(copy)
            # So that the copy is a single file without a log.
            copy.execute("PRAGMA journal_mode = DELETE")
            return check_sqlite(copy)
    except _UNREADABLE as error:
        raise BackupError(f"the database {source} cannot be copied: {error}") from error


def check_sqlite(connection: sqlite3.Connection) -> str:
    """Check the whole database for damage and return its revision. Raises sqlite3.Error, BackupError."""
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise BackupError(f"the database is damaged: {str(found).strip()}")
    return str(connection.execute(_REVISION).fetchone()[0])


def prepare_sqlite(copy: Path) -> str:
    """Check a copy, remove all leaders from it, and return its revision. Raises BackupError."""
    try:
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            revision = check_sqlite(connection)
            connection.execute(_REMOVE_LEADERS)
    except _UNREADABLE as error:
        raise BackupError(f"the database in the backup cannot be read: {error}") from error
    return revision


def replace_sqlite(current: Path, new: Path, suffix: str) -> Path | None:
    """Replace the database by `new`, and keep the previous one under its name with `suffix`.

    Returns the path of the previous one, or None if there was none. A database exists at every moment, so a start after
    a crash never creates an empty one. Raises OSError, and BackupError while another process has it open.
    """
    with _alone(current):
        previous = current.with_name(current.name + suffix)
        for ending in SQLITE_SUFFIXES:
            with suppress(FileNotFoundError):
                _keep(current.with_name(current.name + ending), previous.with_name(previous.name + ending))
        sync_directory(current.parent)
        # The old log must not be applied to the new database.
        for ending in filter(None, SQLITE_SUFFIXES):
            current.with_name(current.name + ending).unlink(missing_ok=True)
        os.replace(new, current)
        sync_directory(current.parent)
        return previous if previous.exists() else None


def _keep(file: Path, previous: Path) -> None:
    try:
        os.link(file, previous)
    except FileNotFoundError:
        raise
    except OSError:
        # The file system does not support hard links.
        shutil.copy2(file, previous)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the database within the `with` block. Raises BackupError."""
    if not path.exists():
        yield
        return
    with closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            # Fails while any other connection is open, even an idle one; and merges the log into the database.
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise BackupError(f"{path} is in use: stop the server and all other programs using it first") from error
        except _UNREADABLE:
            # It is damaged, perhaps the reason for the restore, and is kept as it is.
            pass
        yield
