"""SQLite connections that take their locks explicitly and check that their file was not replaced."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import URL

from api.db.database_errors import describe_loss, gone, identify
from api.db.tables import metadata
from api.util.deadlines import at_most

#: Milliseconds that a check for damage may take; a large file is checked only in part.
CHECK_MS = 3000

#: KiB of pages that one connection may cache. SQLite's default of 2 MB would fill up in each of up to 24 connections;
#: the kernel caches the same pages anyway.
CACHE_KIB = 512

#: The remedy if a database cannot be used.
TAKE_ANOTHER = "choose another one with STORAGE_ROOT or DATABASE_URL"

_WAL_RETRY_SECONDS = 0.02

#: SQLite's virtual instructions between two checks of the time.
_STEPS = 10_000

_WAL = "wal"  # the key in a connection's info for the identity of its write-ahead log


def create_sqlite_engine(url: URL, lock_ms: int, check: Callable[[], None], **shared: Any) -> Engine:
    """Create an engine whose transactions start as their `info` says; `check` raises if the file was replaced."""
    engine = create_engine(url, **shared)
    log = f"{url.database}-wal"

    def before(dialect: Any, record: Any, args: Any, kwargs: Any) -> None:
        # Otherwise SQLite would create an empty file in place of a deleted one.
        check()

    def prepare(driver: Any, record: Any) -> None:
        try:
            _prepare(driver, round(at_most(lock_ms / 1000) * 1000))
        except UnicodeDecodeError as error:
            raise _undecodable(error) from error
        record.info[_WAL] = identify(log)

    event.listen(engine, "do_connect", before)
    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", _translate)
    return engine


def check_log(connection: Connection) -> None:
    """Raise StorageGone if this connection's write-ahead log was deleted or replaced."""
    noted = connection.info.get(_WAL)
    if noted is None:
        return
    log = f"{connection.engine.url.database}-wal"
    now = identify(log)
    if now != noted:
        raise gone(describe_loss(log, now))


def find_damage(driver: Any) -> str | None:
    """Return the damage that SQLite's own check or a check of the columns finds.

    None if nothing was found within the time limit.
    """
    try:
        return _check_pages(driver) or _find_missing_column(driver)
    except UnicodeDecodeError as error:
        return str(_undecodable(error))


def check_schema(file: Path) -> None:
    """Read the schema from the file, like the next start. Raises sqlite3.Error if it is unreadable.

    Open connections cache the schema, and would continue with one that no new connection can read.
    """
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0.0)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except UnicodeDecodeError as error:
        raise _undecodable(error) from error


def check_pages(file: Path) -> str | None:
    """Return the damage in the file's pages, read without the caches of open connections.

    None if nothing was found within the time limit, or if the file cannot be read now.
    """
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0.0)) as connection:
            return _check_pages(connection)
    except sqlite3.OperationalError:
        return None
    except sqlite3.DatabaseError as error:
        return str(error)


def _undecodable(error: UnicodeDecodeError) -> sqlite3.DatabaseError:
    """Return the error that the driver should have raised; it cannot decode SQLite's own message."""
    damage = sqlite3.DatabaseError(f"text that is not UTF-8: {error.reason}")
    damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return damage


def _translate(context: ExceptionContext) -> None:
    if isinstance(context.original_exception, UnicodeDecodeError):
        raise _undecodable(context.original_exception) from context.original_exception


def _find_missing_column(driver: Any) -> str | None:
    for table in metadata.tables.values():
        present = {row[0] for row in driver.execute("SELECT name FROM pragma_table_info(?)", [table.name])}
        missing = [column.name for column in table.columns if column.name not in present]
        if missing:
            return f"the table {table.name} has no column {missing[0]}"
    return None


def _check_pages(driver: Any) -> str | None:
    give_up_at = time.monotonic() + CHECK_MS / 1000
    driver.set_progress_handler(lambda: time.monotonic() > give_up_at, _STEPS)
    try:
        found = driver.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return None
    finally:
        driver.set_progress_handler(None, 0)
    return None if found == "ok" else str(found).strip()


def describe_rescue(file: Path) -> str:
    """Return the remedy for a damaged file."""
    return (
        "restore a backup with `make restore FILE=... FORCE=1` (`restore FILE --force`), which keeps this file, or "
        f"recover readable data with `sqlite3 {file} .recover | sqlite3 {file}.new` and replace the file by the new one"
    )


def describe_access(file: Path) -> str:
    """Return the remedy for a file that cannot be opened or created."""
    directory = file.absolute().parent
    if file.is_dir():
        return "it is a directory: set DATABASE_URL to a file"
    if not directory.is_dir():
        return f"create the directory {directory}, or set DATABASE_URL to another file"
    if file.exists():
        return "give this user read and write access to it, its -wal and -shm files, and its directory"
    return f"give this user write access to {directory} and free disk space, or {TAKE_ANOTHER}"


def _prepare(driver: Any, lock_ms: int) -> None:
    # We start transactions: the driver would defer the lock, and then fail instead of waiting.
    driver.isolation_level = None
    driver.execute(f"PRAGMA busy_timeout = {lock_ms}")
    _use_wal(driver, lock_ms)
    for pragma in ("synchronous = FULL", "foreign_keys = ON", f"cache_size = -{CACHE_KIB}"):
        driver.execute(f"PRAGMA {pragma}")


def _use_wal(driver: Any, lock_ms: int) -> None:
    # While another server creates the file, SQLite rejects the change immediately instead of waiting.
    give_up_at = time.monotonic() + lock_ms / 1000
    while True:
        try:
            driver.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= give_up_at:
                raise
            time.sleep(_WAL_RETRY_SECONDS)
        else:
            return


def _begin(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    # Through the driver, because SQLAlchemy takes as long for it as for a small statement.
    lock_ms = connection.info.pop("lock_ms", None)
    if lock_ms is not None:
        driver.execute(f"PRAGMA busy_timeout = {lock_ms}")
    mode = connection.info.pop("begin", "DEFERRED")
    driver.execute(f"BEGIN {mode}")
    if mode == "IMMEDIATE" and connection.info.get(_WAL) is None:
        # The first connection creates the log with its first transaction.
        connection.info[_WAL] = identify(f"{connection.engine.url.database}-wal")
