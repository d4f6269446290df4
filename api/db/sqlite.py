"""Connections to a SQLite file that take their locks themselves, and know which file they have open."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import URL

from api.db.tables import metadata
from api.util.deadlines import at_most
from api.util.file_identity import describe_loss, gone, identify

#: Milliseconds that the search for damage may take; of a large file only a part is checked.
CHECK_MS = 3000

#: KiB of pages that one connection may keep. SQLite's own 2 MB fill while the file grows, in each of up to 24; the
#: kernel has the same pages anyway.
CACHE_KIB = 512

#: What to do where a database cannot be used.
TAKE_ANOTHER = "name another one by STORAGE_ROOT or DATABASE_URL"

_WAL_RETRY_SECONDS = 0.02

#: SQLite's virtual instructions between two looks at the clock.
_STEPS = 10_000

_WAL = "wal"  # in a connection's info: who its write-ahead log is


def create_sqlite_engine(url: URL, lock_ms: int, check: Callable[[], None], **shared: Any) -> Engine:
    """An engine whose transactions begin as their `info` says; `check` raises where the file is another one."""
    engine = create_engine(url, **shared)
    log = f"{url.database}-wal"

    def before(dialect: Any, record: Any, args: Any, kwargs: Any) -> None:
        # SQLite would make an empty file where the one that it had is gone.
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
    """Raises StorageGone when this connection's write-ahead log is not the one beside the file any more."""
    noted = connection.info.get(_WAL)
    if noted is None:
        return
    log = f"{connection.engine.url.database}-wal"
    now = identify(log)
    if now != noted:
        raise gone(describe_loss(log, now))


def find_damage(driver: Any) -> str | None:
    """Return what is wrong with the file, by SQLite's own check and by a look at its columns.

    None when nothing was found in the time that the check has.
    """
    try:
        return _check_pages(driver) or _find_missing_column(driver)
    except UnicodeDecodeError as error:
        return str(_undecodable(error))


def check_schema(file: Path) -> None:
    """Read the schema from the file, as the next start will. Raise sqlite3.Error when it cannot be read.

    Open connections hold the schema in memory, and go on with one that no new connection could read.
    """
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0.0)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except UnicodeDecodeError as error:
        raise _undecodable(error) from error


def check_pages(file: Path) -> str | None:
    """Return what is wrong with the pages of the file, read anew: open connections keep theirs in memory.

    None when nothing was found in the time that the check has, or the file cannot be read now.
    """
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0.0)) as connection:
            return _check_pages(connection)
    except sqlite3.OperationalError:
        return None
    except sqlite3.DatabaseError as error:
        return str(error)


def _undecodable(error: UnicodeDecodeError) -> sqlite3.DatabaseError:
    """Return the error that the driver should have raised: it cannot decode SQLite's own message."""
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
    """What to do about a damaged file."""
    return (
        f"restore a backup by `make restore FILE=... FORCE=1` (`restore FILE --force`), which keeps this file, or "
        f"save what can be read: `sqlite3 {file} .recover | sqlite3 {file}.new`, then let the new file take its place"
    )


def describe_access(file: Path) -> str:
    """Return what to do about a file that cannot be opened or made."""
    directory = file.absolute().parent
    if file.is_dir():
        return "it is a directory: name a file in DATABASE_URL"
    if not directory.is_dir():
        return f"make the directory {directory}, or name another file in DATABASE_URL"
    if file.exists():
        return "let this user read and write it, its -wal and -shm beside it, and its directory"
    return f"let this user write into {directory} and make room on its disk, or {TAKE_ANOTHER}"


def _prepare(driver: Any, lock_ms: int) -> None:
    # Transactions are begun by us: the driver's own way defers the lock, and then fails instead of waiting.
    driver.isolation_level = None
    driver.execute(f"PRAGMA busy_timeout = {lock_ms}")
    _use_wal(driver, lock_ms)
    for pragma in ("synchronous = FULL", "foreign_keys = ON", f"cache_size = -{CACHE_KIB}"):
        driver.execute(f"PRAGMA {pragma}")


def _use_wal(driver: Any, lock_ms: int) -> None:
    # Where another server makes the file in this moment, SQLite refuses the change at once instead of waiting.
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
    # By the driver itself: SQLAlchemy's way to either takes as long as a small statement does.
    lock_ms = connection.info.pop("lock_ms", None)
    if lock_ms is not None:
        driver.execute(f"PRAGMA busy_timeout = {lock_ms}")
    mode = connection.info.pop("begin", "DEFERRED")
    driver.execute(f"BEGIN {mode}")
    if mode == "IMMEDIATE" and connection.info.get(_WAL) is None:
        # The first connection of all makes the log with its first transaction.
        connection.info[_WAL] = identify(f"{connection.engine.url.database}-wal")
