"""The database: a SQLite file or PostgreSQL, with the same statements for both."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import NoSuchModuleError

from api.db.audit_chain import mark_stored, store_note
from api.db.database_errors import (
    ALL_IN_USE,
    PROMOTE,
    RETRY_AFTER,
    GuardedPaths,
    driver_errors,
    first_line,
    is_access,
    is_damage,
    is_read_only,
    translate,
)
from api.db.database_url import DatabaseError, parse_database_url
from api.db.fair_semaphore import FairSemaphore
from api.db.schema import migrate_tables
from api.db.sqlite import (
    TAKE_ANOTHER,
    check_log,
    check_pages,
    check_schema,
    create_sqlite_engine,
    describe_access,
    describe_rescue,
    find_damage,
)
from api.errors import DatabaseDamaged, DatabaseUnavailable, StorageFull, StorageGone
from api.util.deadlines import at_most, has_wait_limit, shared_wait_limit, within
from api.util.measures import note_transaction
from api.util.text.masking import is_secret_name

logger = logging.getLogger(__name__)

#: Milliseconds that a statement waits for a lock, so that a request gets its 503 within 5 s.
LOCK_MS = 4000

#: Seconds between two checks of a damaged database; each takes 3 s at most.
RECHECK_SECONDS = 10.0

#: Seconds between two checks of all pages; damage in unread pages would otherwise show only at the next start.
CHECK_PAGES_SECONDS = 3600.0

#: A wait for a connection below this many milliseconds is ignored.
NO_WAIT_MS = 100

#: Milliseconds that a start waits for another server's migration.
MIGRATION_LOCK_MS = 60_000

#: The most connections: enough for request threads and loops.
POOL_SIZE = 24

#: The key of an advisory lock ("dpipe" in hexadecimal) that orders concurrent migrations.
MIGRATION_LOCK = 0x6470_6970_65

#: The key in a connection's `info` that marks a transaction which has appended an event.
APPENDED = "appended"

#: The check at the start of every write transaction in this context.
_condition: ContextVar[Callable[[Connection], None] | None] = ContextVar("condition", default=None)

#: Whether transactions on PostgreSQL in this context read one snapshot in all statements, as on SQLite.
_reads: ContextVar[bool] = ContextVar("reads", default=False)


#: Seconds between two tries while the database does not answer; longer than an urgent read may take.
PAUSE_SECONDS = 1.0


@dataclass(slots=True)
class Use:
    """Whether the database was read, and whether a transaction was committed."""

    has_read: bool = False
    has_written: bool = False


#: The record of this context; None if no caller needs it.
current_use: ContextVar[Use | None] = ContextVar("current_use", default=None)


def note_read() -> None:
    """Record that the database is read."""
    use = current_use.get()
    if use is not None:
        use.has_read = True


def note_write() -> None:
    """Record that a transaction was committed."""
    use = current_use.get()
    if use is not None:
        use.has_written = True


class CircuitBreaker:
    """Admits all reads while the database answers; after a failure only one per PAUSE_SECONDS."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._next_try_at: float | None = None

    def admits(self) -> bool:
        """Return whether the caller may query the database now."""
        if self._next_try_at is None:
            return True
        with self._lock:
            now = self._monotonic()
            if self._next_try_at is None:
                return True
            if now < self._next_try_at:
                return False
            self._next_try_at = now + PAUSE_SECONDS
            return True

    def note_success(self) -> None:
        """Record a successful read; all reads are admitted again."""
        self._next_try_at = None

    def note_failure(self) -> None:
        """Record a read that timed out."""
        with self._lock:
            self._next_try_at = self._monotonic() + PAUSE_SECONDS


@contextmanager
def write_guard(condition: Callable[[Connection], None]) -> Iterator[None]:
    """Run this check, which may raise, at the start of every write transaction in the `with` block."""
    before = _condition.set(condition)
    try:
        yield
    finally:
        _condition.reset(before)


class Database:
    """An engine with read and write transactions. The constructor does not connect."""

    def __init__(self, url: str, root: Path | None = None, pool_size: int | None = None) -> None:
        """`root` is the storage directory, `pool_size` the most connections, by default POOL_SIZE.

        Raises DatabaseError if the URL is invalid or not supported.
        """
        pool_size = pool_size or POOL_SIZE
        self.url = parse_database_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        roots = [] if root is None else [root]
        self._file = Path(self.url.database or "") if self.is_sqlite else None
        self._files = GuardedPaths(*roots, *([] if self._file is None else [self._file]))
        self.engine = _create_engine(self.url, self._files.check, pool_size)
        self._driver_errors = driver_errors(self.engine)
        self._trouble: DatabaseUnavailable | None = None
        self._schema_damage: DatabaseDamaged | None = None
        self._checked_at = float("-inf")
        self._checked_pages_at = time.monotonic()
        self._breaker = CircuitBreaker()
        self._free = FairSemaphore(pool_size)
        self._writer_turn = FairSemaphore(1)
        self._on_append: list[Callable[[], None]] = []

    @property
    def shown(self) -> str:
        """The URL without its password."""
        shown = self.url.difference_update_query([name for name in self.url.query if is_secret_name(name)])
        return shown.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading one snapshot of the database.

        Raises DatabaseUnavailable within this context's deadline (`util/deadlines`), and immediately if another urgent
        read has just timed out.
        """
        note_read()
        if has_wait_limit() and not self._breaker.admits():
            raise DatabaseUnavailable("The database does not answer at present.", headers=RETRY_AFTER)
        began = time.monotonic()
        try:
            with shared_wait_limit(), self._connect("DEFERRED") as connection:
                yield connection
        finally:
            note_transaction("read", time.monotonic() - began)

    @contextmanager
    def write(self, is_audited: bool = True) -> Iterator[Connection]:
        """Open a transaction that commits at the end, or changes nothing. Raises DatabaseUnavailable.

        On SQLite it takes the write lock immediately, because a transaction that reads first could fail at its first
        write. `is_audited=False`: it does not store the audit note of the current request.
        """
        if self._schema_damage is not None:
            raise self._schema_damage
        began = time.monotonic()
        try:
            with (
                shared_wait_limit(),
                self._wait_for_writer() as left_ms,
                self._connect("IMMEDIATE", left_ms) as connection,
            ):
                self._check_files(connection)
                # Left by a transaction that was rolled back.
                connection.info.pop(APPENDED, None)
                condition = _condition.get()
                if condition is not None:
                    condition(connection)
                yield connection
                has_appended = connection.info.pop(APPENDED, False)
                note = store_note(connection) if is_audited else None
                self._check_files(connection)
        finally:
            note_transaction("write", time.monotonic() - began)
        note_write()
        # The file may have been removed during the transaction; the change would then be lost.
        self._check_files()
        if note is not None:
            mark_stored(note)
        if has_appended:
            for listener in self._on_append:
                listener()

    def _check_files(self, connection: Connection | None = None) -> None:
        self._files.check()
        if self.is_sqlite and connection is not None:
            check_log(connection)

    def require_files(self) -> None:
        """Raise StorageGone if STORAGE_ROOT or the database's file is missing.

        Callers use it before they conclude that a file below STORAGE_ROOT was deleted.
        """
        self._files.check()

    def find_trouble(self) -> DatabaseUnavailable | None:
        """Return why nothing can be stored now, or None.

        Checks the directories, and remembers the error of the last transaction. Damage is remembered until the
        database's own check finds none.
        """
        try:
            self._files.check()
        except StorageGone as error:
            return error
        if self.is_sqlite and time.monotonic() - self._checked_at >= RECHECK_SECONDS:
            self._checked_at = time.monotonic()
            self._check_schema()
            if self._schema_damage is None and isinstance(self._trouble, DatabaseDamaged):
                self._recheck()
        return self._trouble

    def _check_schema(self) -> None:
        """Check for damage that only a new connection notices, before more unreadable data is written."""
        if self._file is None or not self._file.is_file():
            return
        try:
            check_schema(self._file)
        except sqlite3.Error as error:
            if is_damage(error):
                self._schema_damage = self._damaged(error)
                self._note_trouble(self._schema_damage, "DEFERRED")
        else:
            self._schema_damage = None
            if time.monotonic() - self._checked_pages_at >= CHECK_PAGES_SECONDS:
                self._checked_pages_at = time.monotonic()
                self._check_pages(self._file)

    def _check_pages(self, file: Path) -> None:
        """Record damage that no statement has met yet."""
        damage = check_pages(file)
        if damage is not None:
            self.engine.dispose()  # open connections have cached pages
            self._note_trouble(self._damaged(sqlite3.DatabaseError(damage)), "DEFERRED")

    def _damaged(self, error: Exception) -> DatabaseDamaged:
        text = self._describe_damage(first_line(error).rstrip("."))
        return DatabaseDamaged(f"{text[0].upper()}{text[1:]}.", headers=RETRY_AFTER)

    def _recheck(self) -> None:
        try:
            with self.engine.connect() as connection:
                driver = connection.connection.driver_connection
                damage = "it cannot be opened" if driver is None else find_damage(driver)
        except DatabaseUnavailable:
            return
        except self._driver_errors:
            return
        if damage is None:
            logger.warning("the database's own check no longer finds damage", extra={"database": self.shown})
            self._trouble = None

    def on_append(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each commit that appended task events, in the writer's thread. It must not block."""
        self._on_append.append(listener)

    def _wait_for_writer(self) -> AbstractContextManager[int]:
        """Wait for this process's turn to write; yields the milliseconds left to wait for the lock."""
        # SQLite's waiters poll and can starve; within this process they take turns instead.
        if not self.is_sqlite:
            return nullcontext(LOCK_MS)
        return self._writer_turn.wait(LOCK_MS, "The database is busy with other writers.")

    @contextmanager
    def _connect(self, mode: str, lock_ms: int | None = None) -> Iterator[Connection]:
        try:
            place = self._free.wait(LOCK_MS, ALL_IN_USE)
            # SQLAlchemy's pool has only one timeout for all.
            with place as left, _sharing(left), _beginning(mode), self.engine.connect() as connection:
                connection.info.update(begin=mode, lock_ms=round(at_most((lock_ms or LOCK_MS) / 1000) * 1000))
                with connection.begin():
                    yield connection
        except self._driver_errors as error:
            translated = translate(error)
            if translated is None:
                raise
            if isinstance(translated, DatabaseDamaged):
                translated = self._damaged(error)
            if is_read_only(error):
                # The server became read-only, perhaps in a failover. New connections may find the primary.
                self.engine.dispose()
            self._note_trouble(translated, mode)
            raise translated from error
        except DatabaseUnavailable as error:
            self._note_trouble(error, mode)
            raise
        self._note_success(mode)

    def _note_success(self, mode: str) -> None:
        self._breaker.note_success()
        # Reads work on a full disk or without the log; only a write proves that the trouble is over.
        if self._trouble is None or isinstance(self._trouble, DatabaseDamaged):
            return
        if mode != "DEFERRED" or not isinstance(self._trouble, StorageFull | StorageGone):
            self._trouble = None

    def _note_trouble(self, error: DatabaseUnavailable, mode: str) -> None:
        if mode == "DEFERRED" and error.code == DatabaseUnavailable.code:
            # Only for reads: a write may have waited for a lock.
            self._breaker.note_failure()
        if isinstance(self._trouble, DatabaseDamaged):
            return
        if isinstance(error, StorageGone) and any(self._files.problems()):
            # Checked again each time, so that it ends when the files are back.
            return
        if isinstance(error, DatabaseDamaged):
            logger.error("the database is damaged", extra={"database": self.shown, "problem": error.detail})
        self._trouble = error

    def migrate(self) -> None:
        """Migrate the tables to this version, including rows written by servers of an older version.

        Raises DatabaseError if they are of a newer version.
        """
        try:
            with self.engine.connect() as connection:
                self._set_lock_timeout(connection, MIGRATION_LOCK_MS)
                connection.info["begin"] = "IMMEDIATE"
                with connection.begin():
                    self._take_turns(connection)
                    migrate_tables(connection, self.shown)
                self._set_lock_timeout(connection, LOCK_MS)
                driver = connection.connection.driver_connection
                damage = find_damage(driver) if self.is_sqlite and driver is not None else None
                if damage is not None:
                    raise DatabaseError(self._describe_damage(damage))
                self._files.note()
        except self._driver_errors as error:
            raise DatabaseError(self._why_unusable(error)) from error

    def _why_unusable(self, error: Exception) -> str:
        if is_damage(error):
            return self._describe_damage(first_line(error).rstrip("."))
        if self._file is not None:
            why, what = first_line(error).rstrip("."), describe_access(self._file) if is_access(error) else TAKE_ANOTHER
            return f"the database {self._file.absolute()} cannot be used ({why}): {what}"
        if is_read_only(error):
            return f"the database {self.shown} cannot be used: {first_line(error)} {PROMOTE}"
        return (
            f"the database {self.shown} cannot be used: {first_line(error)} Check that PostgreSQL runs there, that the "
            "database and the user exist, and that DATABASE_URL is correct"
        )

    def _describe_damage(self, why: str) -> str:
        if self._file is None:
            return f"the database {self.shown} is damaged ({why}): restore it from a backup"
        return f"the database {self._file.absolute()} is damaged ({why}): {describe_rescue(self._file.absolute())}"

    def _set_lock_timeout(self, connection: Connection, milliseconds: int) -> None:
        driver = connection.connection.driver_connection
        if driver is None:
            return
        if self.is_sqlite:
            driver.execute(f"PRAGMA busy_timeout = {milliseconds}")
        else:
            driver.wait_for_answers(None if milliseconds > LOCK_MS else milliseconds)

    def _take_turns(self, connection: Connection) -> None:
        if not self.is_sqlite:
            # Waiting is a statement, and migrating large tables takes longer than requests may.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text(f"SET LOCAL lock_timeout = {MIGRATION_LOCK_MS}"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})

    def close(self) -> None:
        """Close idle connections."""
        self.engine.dispose()


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file."""
    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string()


def _sharing(left_ms: int) -> AbstractContextManager[None]:
    """Limit the waits of a transaction to the remaining time, after it has waited for a connection."""
    return within(left_ms / 1000) if left_ms < LOCK_MS - NO_WAIT_MS else nullcontext()


@contextmanager
def _beginning(mode: str) -> Iterator[None]:
    before = _reads.set(mode == "DEFERRED")
    try:
        yield
    finally:
        _reads.reset(before)


def _how_to_begin() -> bytes:
    return b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if _reads.get() else b"BEGIN"


def _create_engine(url: URL, check: Callable[[], None], pool_size: int) -> Engine:
    shared: dict[str, Any] = {
        "json_serializer": lambda value: orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode(),
        "json_deserializer": orjson.loads,
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": LOCK_MS / 1000,
    }
    try:
        if url.get_backend_name() == "sqlite":
            return create_sqlite_engine(url, LOCK_MS, check, **shared)
        # Not needed with SQLite.
        from api.db.postgresql import create_postgres_engine  # noqa: PLC0415

        return create_postgres_engine(url, LOCK_MS, _how_to_begin, **shared)
    except NoSuchModuleError as error:
        raise DatabaseError(f"DATABASE_URL: {error}") from error
