"""Backups of a server's database: made while it runs, restored while no server runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from api import __version__
from api.access.audit_store import AuditStore
from api.composition.storage_root import NODE
from api.config import Config
from api.db.backups.file import (
    Backup,
    BackupError,
    BackupFacts,
    digest,
    read_backup,
    refuse_existing,
    write_backup,
)
from api.db.backups.sqlite import copy_sqlite, prepare_sqlite, replace_sqlite
from api.db.database import Database, sqlite_url
from api.db.database_url import DatabaseError
from api.db.file_lock import FileLock
from api.db.privacy import make_private_directory
from api.db.tables import keys
from api.domain.access.audit import OPERATOR, AuditEntry
from api.errors import DatabaseUnavailable
from api.files.task_files import write_private
from api.files.work_directory import BACKUP, RESTORE, remove_abandoned, work_directory

if TYPE_CHECKING:
    from api.db.backups.postgresql import PostgresTables

#: The most keys that one audit row lists.
_MOST_KEYS = 100


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore."""

    made_at: str  #: when the backup was made
    previous: str | None  #: where the previous database is stored
    former_root: str  #: the storage root of the backed-up server, which contains the files of its tasks
    revived: tuple[str, ...]  #: keys that are active now and were not in the previous database
    is_former_known: bool  #: whether the previous database could be read; if not, `revived` has all active keys


def make_backup(config: Config, target: Path | None, replaces: bool, now: datetime | None = None) -> Path:
    """Write the database and the machine's name into a file and return its path, by default in STORAGE_ROOT/backups.

    A server may run meanwhile. Raises BackupError, DatabaseError.
    """
    now = now or datetime.now(UTC)
    root = config.storage_root.absolute()
    database = _database(config)
    with _explain_errors(f"the backup cannot be written ({root})"):
        if target is None:
            target = root / "backups" / f"diffusion-pipe-api-{_stamp(now)}.tar.gz"
            make_private_directory(target.parent)
        target = target.absolute()
        refuse_existing(target, replaces)
        remove_abandoned(_file(database).parent if database.is_sqlite else root)
        with work_directory(BACKUP, target.parent) as work:
            copy = work / "database"
            revision = copy_sqlite(_file(database), copy) if database.is_sqlite else _postgres(database).dump(copy)
            backend = database.url.get_backend_name()
            facts = BackupFacts(backend, revision, __version__, now.isoformat(), str(root), digest(copy))
            write_backup(target, facts, copy, _read_node(root), replaces)
    return target


def restore_backup(config: Config, source: Path, replaces: bool, now: datetime | None = None) -> Restored:
    """Replace the database by that of a backup; the previous one is kept beside it.

    Raises BackupError if a server runs, if the backup is from a newer version, or if the present database may not be
    replaced.
    """
    root, now = config.storage_root.absolute(), now or datetime.now(UTC)
    database = _database(config)
    with _explain_errors(f"the backup cannot be restored ({root})"):
        make_private_directory(root)
        directory = _file(database).parent if database.is_sqlite else root
        with _no_server(root), work_directory(RESTORE, directory) as work:
            backup = read_backup(source, work)
            _refuse_unfit(backup, database)
            former = _find_keys(database, now)
            note = AuditEntry(now, OPERATOR, "restore", object=source.name, after={"made_at": backup.facts.made_at})
            suffix = f"before-restore-{_stamp(now)}"
            if database.is_sqlite:
                previous, revived = _restore_sqlite(backup, _file(database), replaces, suffix, note, former)
            else:
                schema = suffix.replace("-", "_").lower()
                previous = _postgres(database).restore(backup.database, schema, replaces)
                previous = previous and f"the schema {previous}"
                revived = _note_restore(database, note, former)
            if backup.node is not None and not (root / NODE).exists():
                write_private(root / NODE, backup.node, levels=0)
    facts = backup.facts
    return Restored(facts.made_at, previous, facts.storage_root, revived, is_former_known=former is not None)


def _restore_sqlite(
    backup: Backup, file: Path, replaces: bool, suffix: str, note: AuditEntry, former: set[str] | None
) -> tuple[str | None, tuple[str, ...]]:
    _refuse_revision(prepare_sqlite(backup.database))
    refuse_existing(file, replaces)
    # Recorded in the copy, so that the restored database is never without the audit entry.
    revived = _note_restore(Database(sqlite_url(backup.database)), note, former)
    previous = replace_sqlite(file, backup.database, f".{suffix}")
    return None if previous is None else str(previous), revived


def _find_keys(database: Database, now: datetime) -> set[str] | None:
    """Return the active keys as "id (user, name)"; None if the database is missing or cannot be read."""
    if database.is_sqlite and not _file(database).exists():
        return None
    query = select(keys.c.key_id, keys.c.user_id, keys.c.name).where(
        keys.c.revoked_at.is_(None), or_(keys.c.expires_at.is_(None), keys.c.expires_at > now.timestamp())
    )
    try:
        with database.read() as connection:
            return {f"{row.key_id} ({row.user_id}, {row.name})" for row in connection.execute(query)}
    except (DatabaseUnavailable, DatabaseError):
        return None
    finally:
        database.close()


def _note_restore(database: Database, note: AuditEntry, former: set[str] | None) -> tuple[str, ...]:
    """Record the restore in the restored database's audit; return the keys that became active again."""
    try:
        database.migrate()
        revived = tuple(sorted((_find_keys(database, note.at) or set()) - (former or set())))
        after = {**note.after, "revived_keys": revived[:_MOST_KEYS]}
        AuditStore(database).append([replace(note, after=after)])
    finally:
        database.close()
    return revived


def _refuse_unfit(backup: Backup, database: Database) -> None:
    backend = database.url.get_backend_name()
    if backup.facts.backend != backend:
        raise BackupError(
            f"the backup is of a {backup.facts.backend} database, but DATABASE_URL is a {backend} one: restore it "
            f"into a {backup.facts.backend} database"
        )
    _refuse_revision(backup.facts.revision)


def _refuse_revision(revision: str) -> None:
    # Alembic is large, and seldom needed.
    from api.db.migrations.upgrading import known_revisions  # noqa: PLC0415

    if revision not in known_revisions():
        raise BackupError(
            f"the backup was made by a newer version of this service (revision {revision}): restore it with that one"
        )


@contextmanager
def _no_server(root: Path) -> Iterator[None]:
    """Prevent servers on this storage from leading within the `with` block. Raises BackupError if one runs."""
    lock = FileLock(root / "trainings.lock")
    if not lock.acquire():
        raise BackupError(f"a server runs on STORAGE_ROOT={root}: stop it first (its trainings continue)")
    try:
        yield
    finally:
        lock.release()


def _database(config: Config) -> Database:
    return Database(config.database_url or sqlite_url(config.storage_root.absolute() / "database.sqlite"))


def _file(database: Database) -> Path:
    return Path(database.url.database or "").absolute()


def _postgres(database: Database) -> "PostgresTables":
    # Not needed with SQLite.
    from api.db.backups.postgresql import PostgresTables  # noqa: PLC0415

    return PostgresTables(database.url)


def _read_node(root: Path) -> bytes | None:
    try:
        return (root / NODE).read_bytes()
    except FileNotFoundError:
        return None


def _stamp(now: datetime) -> str:
    return now.strftime("%Y%m%dT%H%M%SZ")


@contextmanager
def _explain_errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError(f"{what}: {error.strerror or error}") from error
