"""The database: SQLite in a file, or PostgreSQL; the same statements for both."""

import importlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, create_engine, event, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.errors import DatabaseUnavailable
from api.storage.postgresql import create_postgres_engine, wait_for_answers
from api.storage.tables import REVISION, metadata
from api.utils.masking import is_secret_name

logger = logging.getLogger(__name__)

#: Milliseconds that a statement waits for a lock; a caller gets its 503 within 5 s.
LOCK_MS = 4000

#: Milliseconds that a start waits for another server's migration.
MIGRATION_LOCK_MS = 60_000

#: Connections at most: the threads that answer requests, and the loops.
POOL_SIZE = 24

#: Any number, the same for every server: two starts take turns by it.
_MIGRATION_LOCK = 0x6470_6970_65

#: Where Alembic keeps the revision of the tables.
_revision = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))

_WAL_RETRY_SECONDS = 0.02

#: Marks a connection whose transaction has appended an event.
APPENDED = "appended"

_RETRY_AFTER = {"Retry-After": "2"}


class DatabaseError(Exception):
    """The database cannot be used: which one, why, and what to do."""


class Database:
    """An engine and its two kinds of transaction. Building it connects to nothing."""

    def __init__(self, url: str) -> None:
        """Raises DatabaseError when the URL is none that is known here."""
        self.url = _parse(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _create_engine(self.url)
        self._turn = threading.Lock()
        self._on_append: Callable[[], None] = lambda: None

    @property
    def shown(self) -> str:
        """The URL without its password."""
        shown = self.url.difference_update_query([name for name in self.url.query if is_secret_name(name)])
        return shown.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read from, on one state of the database. Raises DatabaseUnavailable."""
        with self._connect("DEFERRED") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at its end, or changes nothing. Raises DatabaseUnavailable.

        On SQLite it takes the write lock at once: a transaction that reads first and writes later would fail.
        """
        with self._take_turn() as left_ms, self._connect("IMMEDIATE", left_ms) as connection:
            # What a transaction left behind that was rolled back.
            connection.info.pop(APPENDED, None)
            yield connection
            has_appended = connection.info.pop(APPENDED, False)
        if has_appended:
            self._on_append()

    def on_append(self, listener: Callable[[], None]) -> None:
        """Calls it after each commit that made events of tasks; in the writer's thread, so it must return at once."""
        self._on_append = listener

    @contextmanager
    def _take_turn(self) -> Iterator[int]:
        """Gives the milliseconds that are left to wait for the lock itself."""
        # SQLite's waiters poll, and the unlucky one starves; in this process they take turns instead.
        if not self.is_sqlite:
            yield LOCK_MS
            return
        began = time.monotonic()
        if not self._turn.acquire(timeout=LOCK_MS / 1000):
            raise DatabaseUnavailable("Other writers keep the database busy.", headers=_RETRY_AFTER)
        try:
            yield max(1, LOCK_MS - round(1000 * (time.monotonic() - began)))
        finally:
            self._turn.release()

    @contextmanager
    def _connect(self, mode: str, lock_ms: int | None = None) -> Iterator[Connection]:
        try:
            with self.engine.connect() as connection:
                connection.info.update(begin=mode, lock_ms=lock_ms or LOCK_MS)
                if mode == "DEFERRED" and not self.is_sqlite:
                    # What a read on SQLite has by itself: all its statements see one state.
                    connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                with connection.begin():
                    yield connection
        except PoolTimeout as error:
            raise DatabaseUnavailable("Every connection to the database is in use.", headers=_RETRY_AFTER) from error
        except (OperationalError, InterfaceError) as error:
            raise DatabaseUnavailable(_say(error), headers=_RETRY_AFTER) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise DatabaseUnavailable(_say(error), headers=_RETRY_AFTER) from error
            raise

    def migrate(self) -> None:
        """Brings the tables to this version. Raises DatabaseError when they are of a newer one."""
        try:
            with self.engine.connect() as connection:
                self._wait_longer(connection, MIGRATION_LOCK_MS)
                connection.info["begin"] = "IMMEDIATE"
                with connection.begin():
                    self._take_turns(connection)
                    self._upgrade(connection)
                self._wait_longer(connection, LOCK_MS)
        except (DBAPIError, PoolTimeout) as error:
            raise DatabaseError(f"the database {self.shown} cannot be used: {_say(error)}") from error

    def _upgrade(self, connection: Connection) -> None:
        tables = set(inspect(connection).get_table_names())
        current = connection.scalar(select(_revision.c.version_num)) if _revision.name in tables else None
        if current == REVISION:
            return
        if current is None and tables.isdisjoint(metadata.tables):
            # Nothing is there to be changed: the tables are made as they are now.
            metadata.create_all(connection)
            _revision.create(connection, checkfirst=True)
            connection.execute(_revision.insert().values(version_num=REVISION))
        else:
            # Loaded only when it is needed, which is seldom: it takes 12 MB.
            migrations = importlib.import_module("api.storage.migrations.upgrading")
            try:
                migrations.upgrade(connection)
            except migrations.UnknownRevision as error:
                raise DatabaseError(
                    f"the database {self.shown} was made by a newer version of this service (revision {error}; this "
                    f"one knows {REVISION}): start that version, or give another DATABASE_URL or STORAGE_ROOT"
                ) from None
        logger.info("tables made", extra={"database": self.shown, "previous": current, "current": REVISION})

    def _wait_longer(self, connection: Connection, milliseconds: int) -> None:
        driver = connection.connection.driver_connection
        if driver is None:
            return
        if self.is_sqlite:
            driver.execute(f"PRAGMA busy_timeout = {milliseconds}")
        else:
            wait_for_answers(driver, None if milliseconds > LOCK_MS else milliseconds)

    def _take_turns(self, connection: Connection) -> None:
        if not self.is_sqlite:
            # The wait is a statement, and a migration of large tables takes longer than a request may.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text(f"SET LOCAL lock_timeout = {MIGRATION_LOCK_MS}"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        self.engine.dispose()


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string()


def _parse(text_: str) -> URL:
    try:
        url = make_url(text_)
    except (ArgumentError, ValueError):  # ValueError: its port is no number
        raise DatabaseError("DATABASE_URL is no URL: it looks like postgresql://user:password@host/name") from None
    if "@" in (url.host or ""):
        # What was read as the host begins with the end of a password, and would be shown.
        raise DatabaseError("DATABASE_URL has an @ in its name or password: write it as %40")
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        return url.set(drivername="sqlite+pysqlite")
    raise DatabaseError(
        f"DATABASE_URL names {backend!r}: only postgresql://… and sqlite:///file are supported"
        if backend != "sqlite"
        else "DATABASE_URL must name a file: a database in memory would forget every task"
    )


def _create_engine(url: URL) -> Engine:
    shared: dict[str, Any] = {
        "json_serializer": lambda value: orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode(),
        "json_deserializer": orjson.loads,
        "pool_size": POOL_SIZE,
        "max_overflow": 0,
        "pool_timeout": LOCK_MS / 1000,
    }
    try:
        if url.get_backend_name() == "sqlite":
            engine = create_engine(url, **shared)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        return create_postgres_engine(url, LOCK_MS, **shared)
    except NoSuchModuleError as error:
        raise DatabaseError(f"DATABASE_URL: {error}") from error


def _prepare_sqlite(driver: Any, record: Any) -> None:
    # Transactions are begun by us: the driver's own way defers the lock, and then fails instead of waiting.
    driver.isolation_level = None
    driver.execute(f"PRAGMA busy_timeout = {LOCK_MS}")
    _use_wal(driver)
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        driver.execute(f"PRAGMA {pragma}")


def _use_wal(driver: Any) -> None:
    # Where another server makes the file in this moment, SQLite refuses the change at once instead of waiting.
    give_up_at = time.monotonic() + LOCK_MS / 1000
    while True:
        try:
            driver.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= give_up_at:
                raise
            time.sleep(_WAL_RETRY_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    lock_ms = connection.info.pop("lock_ms", None)
    if lock_ms is not None:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {lock_ms}")
    connection.exec_driver_sql(f"BEGIN {connection.info.pop('begin', 'DEFERRED')}")


def _say(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    first = str(cause).strip().splitlines() or [type(cause).__name__]
    return f"{first[0]}."
