"""Backups of what a server keeps: made while it runs, restored while none does."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from api import __version__
from api.config import Config
from api.storage.backup_file import (
    Backup,
    BackupError,
    BackupFacts,
    digest,
    read_backup,
    refuse_existing,
    write_backup,
)
from api.storage.database import Database, sqlite_url
from api.storage.file_lock import FileLock
from api.storage.privacy import make_private_directory
from api.storage.sqlite_backup import copy_sqlite, prepare_sqlite, replace_sqlite
from api.storage.task_files import write_private
from api.utils.frozen import frozen

if TYPE_CHECKING:
    from api.storage.postgres_backup import PostgresTables

#: The name of the machine, under STORAGE_ROOT.
_NODE = "node"


@frozen
class Restored:
    """What a restore did: of when the backup was, where the former database is kept, and where the tasks' files lay."""

    made_at: str
    kept: str | None
    former_root: str


def make_backup(config: Config, target: Path | None, replaces: bool, now: datetime | None = None) -> Path:
    """Writes the database and the machine's name into a file, by default one under STORAGE_ROOT/backups, and returns
    its path. A server may run meanwhile. Raises BackupError, DatabaseError.
    """
    now = now or datetime.now(UTC)
    root = config.storage_root.absolute()
    database = _database(config)
    with _said(f"the backup cannot be written ({root})"):
        if target is None:
            target = root / "backups" / f"diffusion-pipe-api-{_stamp(now)}.tar.gz"
            make_private_directory(target.parent)
        target = target.absolute()
        refuse_existing(target, replaces)
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.parent) as work:
            copy = Path(work) / "database"
            revision = copy_sqlite(_file(database), copy) if database.is_sqlite else _postgres(database).dump(copy)
            backend = database.url.get_backend_name()
            facts = BackupFacts(backend, revision, __version__, now.isoformat(), str(root), digest(copy))
            write_backup(target, facts, copy, _read_node(root), replaces)
    return target


def restore_backup(config: Config, source: Path, replaces: bool, now: datetime | None = None) -> Restored:
    """Puts the database of a backup in the place of the present one, which is kept beside it. Raises BackupError while
    a server runs, when the backup is of a newer version, and when there is a database that may not be replaced.
    """
    root = config.storage_root.absolute()
    database = _database(config)
    with _said(f"the backup cannot be restored ({root})"):
        make_private_directory(root)
        place = _file(database).parent if database.is_sqlite else root
        with _no_server(root), tempfile.TemporaryDirectory(prefix=".restore-", dir=place) as work:
            backup = read_backup(source, Path(work))
            _refuse_unfit(backup, database)
            suffix = f"before-restore-{_stamp(now or datetime.now(UTC))}"
            if database.is_sqlite:
                kept = _restore_sqlite(backup, _file(database), replaces, suffix)
            else:
                schema = suffix.replace("-", "_").lower()
                kept = _postgres(database).restore(backup.database, schema, replaces)
                kept = kept and f"the schema {kept}"
            if backup.node is not None and not (root / _NODE).exists():
                write_private(root / _NODE, backup.node, levels=0)
    return Restored(backup.facts.made_at, kept, backup.facts.storage_root)


def _restore_sqlite(backup: Backup, file: Path, replaces: bool, suffix: str) -> str | None:
    _refuse_revision(prepare_sqlite(backup.database))
    refuse_existing(file, replaces)
    kept = replace_sqlite(file, backup.database, f".{suffix}")
    return None if kept is None else str(kept)


def _refuse_unfit(backup: Backup, database: Database) -> None:
    backend = database.url.get_backend_name()
    if backup.facts.backend != backend:
        raise BackupError(
            f"the backup is of a {backup.facts.backend} database, and DATABASE_URL names a {backend} one: restore it "
            "into one of its kind"
        )
    _refuse_revision(backup.facts.revision)


def _refuse_revision(revision: str) -> None:
    # Loaded only here: it takes 9 MB.
    from api.storage.migrations.upgrading import known_revisions  # noqa: PLC0415

    if revision not in known_revisions():
        raise BackupError(
            f"the backup was made by a newer version of this service (revision {revision}): restore it with that one"
        )


@contextmanager
def _no_server(root: Path) -> Iterator[None]:
    """Keeps servers on this storage from leading within the `with` block. Raises BackupError while one does."""
    lock = FileLock(root / "trainings.lock")
    if not lock.acquire():
        raise BackupError(f"a server runs on STORAGE_ROOT={root}: end it first (its trainings go on)")
    try:
        yield
    finally:
        lock.release()


def _database(config: Config) -> Database:
    return Database(config.database_url or sqlite_url(config.storage_root.absolute() / "database.sqlite"))


def _file(database: Database) -> Path:
    return Path(database.url.database or "").absolute()


def _postgres(database: Database) -> "PostgresTables":
    # Loaded for those who use it: its driver takes 11 MB.
    from api.storage.postgres_backup import PostgresTables  # noqa: PLC0415

    return PostgresTables(database.url)


def _read_node(root: Path) -> bytes | None:
    try:
        return (root / _NODE).read_bytes()
    except FileNotFoundError:
        return None


def _stamp(now: datetime) -> str:
    return now.strftime("%Y%m%dT%H%M%SZ")


@contextmanager
def _said(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError(f"{what}: {error.strerror or error}") from error
