"""The database: SQLite in a file, or PostgreSQL; the same statements for both."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import NoSuchModuleError

from api.db.audit_chain import keep_note, tell_kept
from api.db.breaker import Breaker
from api.db.database_errors import (
    ALL_IN_USE,
    PROMOTE,
    RETRY_AFTER,
    driver_errors,
    is_access,
    is_damage,
    is_read_only,
    say,
    translate,
)
from api.db.database_url import DatabaseError, parse_database_url
from api.db.schema import bring_up_to_date
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
from api.db.turns import Turns
from api.errors import DatabaseDamaged, DatabaseUnavailable, StorageFull, StorageGone
from api.util.database_use import note_read, note_write
from api.util.deadlines import at_most, is_in_a_hurry, one_wait, within
from api.util.file_identity import KeptPlaces
from api.util.masking import is_secret_name
from api.util.measures import note_transaction

logger = logging.getLogger(__name__)

#: Milliseconds that a statement waits for a lock; a caller gets its 503 within 5 s.
LOCK_MS = 4000

#: Seconds between two checks of a database that was found damaged; each takes 3 s at most.
LOOK_AGAIN_SECONDS = 10.0

#: Seconds between two looks at all pages: damage of those that nobody reads is else found by the next start only.
LOOK_AT_PAGES_SECONDS = 3600.0

#: Milliseconds for a free connection that count as no wait.
NO_WAIT_MS = 100

#: Milliseconds that a start waits for another server's migration.
MIGRATION_LOCK_MS = 60_000

#: Connections at most: the threads that answer requests, and the loops.
POOL_SIZE = 24

#: The key of an advisory lock ("dpipe" in hexadecimal), by which two starts take turns.
MIGRATION_LOCK = 0x6470_6970_65

#: The key in a connection's `info` that says that its transaction has appended an event.
APPENDED = "appended"

#: The check with which every writing transaction of this context begins.
_condition: ContextVar[Callable[[Connection], None] | None] = ContextVar("condition", default=None)

#: Whether the transaction that this context begins on PostgreSQL is to see one state in all its statements, as a read
#: on SQLite does by itself.
_reads: ContextVar[bool] = ContextVar("reads", default=False)


@contextmanager
def writing_only_if(condition: Callable[[Connection], None]) -> Iterator[None]:
    """Begins every writing transaction in the `with` block with this condition, which raises when it does not hold."""
    before = _condition.set(condition)
    try:
        yield
    finally:
        _condition.reset(before)


class Database:
    """An engine and its two kinds of transaction. Building it connects to nothing."""

    def __init__(self, url: str, root: Path | None = None, pool_size: int | None = None) -> None:
        """`root` is the directory that goes with it, `pool_size` the connections at most, POOL_SIZE by default.

        Raises DatabaseError when the URL is none that is known here.
        """
        pool_size = pool_size or POOL_SIZE
        self.url = parse_database_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        kept = [] if root is None else [root]
        self._file = Path(self.url.database or "") if self.is_sqlite else None
        self._places = KeptPlaces(*kept, *([] if self._file is None else [self._file]))
        self.engine = _create_engine(self.url, self._places.check, pool_size)
        self._driver_errors = driver_errors(self.engine)
        self._trouble: DatabaseUnavailable | None = None
        self._schema_damage: DatabaseDamaged | None = None
        self._looked_at = float("-inf")
        self._saw_pages_at = time.monotonic()
        self._breaker = Breaker()
        self._free = Turns(pool_size)
        self._turn = Turns(1)
        self._on_append: list[Callable[[], None]] = []

    @property
    def shown(self) -> str:
        """The URL without its password."""
        shown = self.url.difference_update_query([name for name in self.url.query if is_secret_name(name)])
        return shown.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read from, on one state of the database. Raises DatabaseUnavailable: within the time that
        this context has (`util/deadlines`), and at once when somebody has just waited in vain.
        """
        note_read()
        if is_in_a_hurry() and not self._breaker.admits():
            raise DatabaseUnavailable("The database does not answer at present.", headers=RETRY_AFTER)
        began = time.monotonic()
        try:
            with one_wait(), self._connect("DEFERRED") as connection:
                yield connection
        finally:
            note_transaction("read", time.monotonic() - began)

    @contextmanager
    def write(self, is_audited: bool = True) -> Iterator[Connection]:
        """A transaction that commits at its end, or changes nothing. Raises DatabaseUnavailable.

        On SQLite it takes the write lock at once: a transaction that reads first and writes later would fail.
        `is_audited=False`: what it keeps is not what the present request is about.
        """
        if self._schema_damage is not None:
            raise self._schema_damage
        began = time.monotonic()
        try:
            with one_wait(), self._take_turn() as left_ms, self._connect("IMMEDIATE", left_ms) as connection:
                self._check_places(connection)
                # What a transaction left behind that was rolled back.
                connection.info.pop(APPENDED, None)
                condition = _condition.get()
                if condition is not None:
                    condition(connection)
                yield connection
                has_appended = connection.info.pop(APPENDED, False)
                note = keep_note(connection) if is_audited else None
                self._check_places(connection)
        finally:
            note_transaction("write", time.monotonic() - began)
        note_write()
        # Nothing is acknowledged that went into a file on its way out.
        self._check_places()
        if note is not None:
            tell_kept(note)
        if has_appended:
            for listener in self._on_append:
                listener()

    def _check_places(self, connection: Connection | None = None) -> None:
        self._places.check()
        if self.is_sqlite and connection is not None:
            check_log(connection)

    def require_places(self) -> None:
        """Raises StorageGone where STORAGE_ROOT or the database's file is not there any more: what is missing below it
        is then not known to be missing.
        """
        self._places.check()

    def find_trouble(self) -> DatabaseUnavailable | None:
        """Why nothing can be kept now: the places are looked at, and the last transaction is remembered; None when
        all is well. Damage is remembered until the database's own check finds none: a disk's fault may have passed.
        """
        try:
            self._places.check()
        except StorageGone as error:
            return error
        if self.is_sqlite and time.monotonic() - self._looked_at >= LOOK_AGAIN_SECONDS:
            self._looked_at = time.monotonic()
            self._check_schema()
            if self._schema_damage is None and isinstance(self._trouble, DatabaseDamaged):
                self._look_again()
        return self._trouble

    def _check_schema(self) -> None:
        """Find damage that only a new connection meets: what is acknowledged until then could never be read again."""
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
            if time.monotonic() - self._saw_pages_at >= LOOK_AT_PAGES_SECONDS:
                self._saw_pages_at = time.monotonic()
                self._check_pages(self._file)

    def _check_pages(self, file: Path) -> None:
        """Report damage that no statement has met yet."""
        damage = check_pages(file)
        if damage is not None:
            self.engine.dispose()  # connections hold pages as they were
            self._note_trouble(self._damaged(sqlite3.DatabaseError(damage)), "DEFERRED")

    def _damaged(self, error: Exception) -> DatabaseDamaged:
        text = self._describe_damage(say(error).rstrip("."))
        return DatabaseDamaged(f"{text[0].upper()}{text[1:]}.", headers=RETRY_AFTER)

    def _look_again(self) -> None:
        try:
            with self.engine.connect() as connection:
                driver = connection.connection.driver_connection
                damage = "it cannot be opened" if driver is None else find_damage(driver)
        except DatabaseUnavailable:
            return
        except self._driver_errors:
            return
        if damage is None:
            logger.warning("the database's own check finds no damage any more", extra={"database": self.shown})
            self._trouble = None

    def on_append(self, listener: Callable[[], None]) -> None:
        """Has `listener` called after each commit of tasks' events, in the writer's thread: it must return at once."""
        self._on_append.append(listener)

    def _take_turn(self) -> AbstractContextManager[int]:
        """Waits for this process's turn to write; gives the milliseconds that are left to wait for the lock itself."""
        # SQLite's waiters poll, and the unlucky one starves; in this process they take turns instead.
        if not self.is_sqlite:
            return nullcontext(LOCK_MS)
        return self._turn.wait(LOCK_MS, "Other writers keep the database busy.")

    @contextmanager
    def _connect(self, mode: str, lock_ms: int | None = None) -> Iterator[Connection]:
        try:
            place = self._free.wait(LOCK_MS, ALL_IN_USE)
            # The pool itself has one bound for all.
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
                # It was closed to changes under its connections: new ones may find the server that is open.
                self.engine.dispose()
            self._note_trouble(translated, mode)
            raise translated from error
        except DatabaseUnavailable as error:
            self._note_trouble(error, mode)
            raise
        self._note_success(mode)

    def _note_success(self, mode: str) -> None:
        self._breaker.note_answer()
        # A full disk can be read, and a log that was removed too; only a write tells that all is well again.
        if self._trouble is None or isinstance(self._trouble, DatabaseDamaged):
            return
        if mode != "DEFERRED" or not isinstance(self._trouble, StorageFull | StorageGone):
            self._trouble = None

    def _note_trouble(self, error: DatabaseUnavailable, mode: str) -> None:
        if mode == "DEFERRED" and error.code == DatabaseUnavailable.code:
            # Only reads tell that reads wait in vain: a write may have waited for a lock.
            self._breaker.note_silence()
        if isinstance(self._trouble, DatabaseDamaged):
            return
        if isinstance(error, StorageGone) and any(self._places.problems()):
            # That is looked at again each time, so that it ends when they are back.
            return
        if isinstance(error, DatabaseDamaged):
            logger.error("the database is damaged", extra={"database": self.shown, "problem": error.detail})
        self._trouble = error

    def migrate(self) -> None:
        """Bring the tables to this version, also what a server of an older one wrote beside a newer one.

        Raise DatabaseError when they are of a newer one.
        """
        try:
            with self.engine.connect() as connection:
                self._wait_longer(connection, MIGRATION_LOCK_MS)
                connection.info["begin"] = "IMMEDIATE"
                with connection.begin():
                    self._take_turns(connection)
                    bring_up_to_date(connection, self.shown)
                self._wait_longer(connection, LOCK_MS)
                self._look_for_damage(connection)
                self._places.note()
        except self._driver_errors as error:
            raise DatabaseError(self._why_unusable(error)) from error

    def _look_for_damage(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        damage = find_damage(driver) if self.is_sqlite and driver is not None else None
        if damage is not None:
            raise DatabaseError(self._describe_damage(damage))

    def _why_unusable(self, error: Exception) -> str:
        if is_damage(error):
            return self._describe_damage(say(error).rstrip("."))
        if self._file is not None:
            why, what = say(error).rstrip("."), describe_access(self._file) if is_access(error) else TAKE_ANOTHER
            return f"the database {self._file.absolute()} cannot be used ({why}): {what}"
        if is_read_only(error):
            return f"the database {self.shown} cannot be used: {say(error)} {PROMOTE}"
        return (
            f"the database {self.shown} cannot be used: {say(error)} Look whether PostgreSQL runs there, whether the "
            "database and the user exist, and whether DATABASE_URL names them rightly"
        )

    def _describe_damage(self, why: str) -> str:
        if self._file is None:
            return f"the database {self.shown} is damaged ({why}): restore it from a backup"
        return f"the database {self._file.absolute()} is damaged ({why}): {describe_rescue(self._file.absolute())}"

    def _wait_longer(self, connection: Connection, milliseconds: int) -> None:
        driver = connection.connection.driver_connection
        if driver is None:
            return
        if self.is_sqlite:
            driver.execute(f"PRAGMA busy_timeout = {milliseconds}")
        else:
            driver.wait_for_answers(None if milliseconds > LOCK_MS else milliseconds)

    def _take_turns(self, connection: Connection) -> None:
        if not self.is_sqlite:
            # The wait is a statement, and a migration of large tables takes longer than a request may.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text(f"SET LOCAL lock_timeout = {MIGRATION_LOCK_MS}"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self.engine.dispose()


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string()


def _sharing(left_ms: int) -> AbstractContextManager[None]:
    """Bounds the waits of a transaction whose place was waited for: or it would be refused only after both."""
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
        # SQLite's users need no driver of PostgreSQL.
        from api.db.postgresql import create_postgres_engine  # noqa: PLC0415

        return create_postgres_engine(url, LOCK_MS, _how_to_begin, **shared)
    except NoSuchModuleError as error:
        raise DatabaseError(f"DATABASE_URL: {error}") from error
