"""Transactions, locks, and errors of an unavailable database."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, text

from api.db import database as database_module
from api.db.database import PAUSE_SECONDS, CircuitBreaker, Database, Use, current_use, note_read, note_write, sqlite_url
from api.db.database_url import DatabaseError
from api.db.tables import events as event_table
from api.domain.tasks.training import EventKind
from api.errors import DatabaseUnavailable
from api.training.records import event_store as events
from api.util.clock import FakeClock
from api.util.deadlines import time_left, wait_limit
from api.util.measures import transactions
from tests.unit.db.builders import NOW
from tests.unit.observed import observed

SECRET = "hunter2"


def append(connection: Any, message: str = "a") -> None:
    events.append(connection, "t1", NOW, EventKind.CHANGE, "ann", message)


def append_and_fail(connection: Any) -> None:
    append(connection)
    raise RuntimeError


def count_events(database: Database) -> int:
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(event_table)) or 0


def cut_and_append(database: Database, connection: Any) -> None:
    append(connection)
    pid = connection.scalar(text("SELECT pg_backend_pid()"))
    with database.write() as other:
        other.execute(text(f"SELECT pg_terminate_backend({pid})"))
    append(connection)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, database: Database) -> Iterator[Database]:
    """The same database with two connections and a timeout of 0.3 s for locks and connections."""
    monkeypatch.setattr(database_module, "LOCK_MS", 300)
    monkeypatch.setattr(database_module, "POOL_SIZE", 2)
    own = Database(database.url.render_as_string(hide_password=False))
    yield own
    own.close()


# -- transactions ------------------------------------------------------------------------------------------------------


def test_cached_pages_are_bounded_over_all_connections(tmp_path: Path):
    with closing(Database(sqlite_url(tmp_path / "database.sqlite"))) as database, database.read() as connection:
        kept_kib = -connection.execute(text("PRAGMA cache_size")).scalar_one()
    assert 0 < kept_kib * database_module.POOL_SIZE <= 16 * 1024


def test_write_is_stored(database: Database):
    with database.write() as connection:
        append(connection)
    assert count_events(database) == 1


def test_failed_write_changes_nothing(database: Database):
    with pytest.raises(RuntimeError), database.write() as connection:
        append_and_fail(connection)
    assert count_events(database) == 0


def test_connection_is_usable_after_a_failure(database: Database):
    for _ in range(database_module.POOL_SIZE + 1):
        with pytest.raises(RuntimeError), database.write():
            raise RuntimeError
    with database.write() as connection:
        append(connection)
    assert count_events(database) == 1


def test_read_sees_one_snapshot_while_others_write(database: Database):
    with database.read() as connection:
        before = connection.scalar(select(func.count()).select_from(event_table))
        with database.write() as other:
            append(other)
        assert connection.scalar(select(func.count()).select_from(event_table)) == before
    assert count_events(database) == 1


def test_read_does_not_wait_for_a_writer(impatient: Database):
    with impatient.write() as connection:
        append(connection)
        assert count_events(impatient) == 0


def test_connection_that_has_read_can_write(impatient: Database):
    for _ in range(3):
        count_events(impatient)
        with impatient.write() as connection:
            append(connection)
    assert count_events(impatient) == 3


def test_mistakes_in_statements_are_not_hidden(database: Database):
    with pytest.raises(Exception, match=r"null|NULL"), database.write() as connection:
        connection.execute(insert(event_table).values(task_id=None))


def test_times_are_exact_to_the_microsecond(database: Database):
    now = datetime(2026, 11, 25, 13, 14, 15, 123456, tzinfo=UTC)
    with database.write() as connection:
        events.append(connection, "t1", now, EventKind.CHANGE, "ann", "a")
    with database.read() as connection:
        assert events.list_events(connection, "t1", 0, 1)[0].timestamp == now


# -- an unavailable database -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_locked_database_is_reported_within_five_seconds(tmp_path: Path):
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    database.migrate()
    with closing(sqlite3.connect(tmp_path / "database.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="locked") as refused, database.write():
            pass
        assert time.monotonic() - began < 5
        assert "Retry-After" in refused.value.headers
        other.execute("ROLLBACK")
    with database.write() as connection:
        append(connection)
    database.close()


def test_wait_for_the_writers_turn_counts_as_a_wait_for_the_lock(impatient: Database, monkeypatch: pytest.MonkeyPatch):
    if not impatient.is_sqlite:
        pytest.skip("PostgreSQL's writers take no turns")
    with closing(sqlite3.connect(str(impatient.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(database_module, "LOCK_MS", 2000)
        began = time.monotonic()

        def write(pause: float) -> float:
            time.sleep(pause)
            with pytest.raises(DatabaseUnavailable), impatient.write():
                pass
            return time.monotonic() - began

        with ThreadPoolExecutor(4) as pool:
            # The waits for the turn and for the lock share one timeout.
            assert max(pool.map(write, (0, 0.1, 0.2, 0.3))) < 2 * 2


def test_wait_for_a_locked_row_is_short(impatient: Database, backend: str):
    with impatient.write() as connection:
        append(connection)
    lock = "SELECT 1" if backend == "sqlite" else "LOCK TABLE events IN EXCLUSIVE MODE"
    with impatient.write() as connection:
        connection.execute(text(lock))
        with pytest.raises(DatabaseUnavailable) as refused, impatient.write() as other:
            append(other)
    assert refused.value.headers == {"Retry-After": "2"}
    assert count_events(impatient) == 1


def test_exhausted_connections_are_reported(impatient: Database):
    with impatient.read(), impatient.read(), pytest.raises(DatabaseUnavailable, match="All connections") as refused:
        count_events(impatient)
    assert refused.value.headers == {"Retry-After": "2"}
    assert count_events(impatient) == 0


def test_urgent_read_waits_briefly_for_a_free_connection(database: Database):
    with closing(Database(database.url.render_as_string(hide_password=False), pool_size=1)) as own, own.read():
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="All connections"), wait_limit(0.1):
            count_events(own)
        assert time.monotonic() - began < database_module.LOCK_MS / 2000


def test_wait_for_a_connection_reduces_the_time_for_statements(database: Database):
    with closing(Database(database.url.render_as_string(hide_password=False), pool_size=1)) as own:
        has_it, left = threading.Event(), []

        def hold() -> None:
            with own.read():
                has_it.set()
                time.sleep(2 * database_module.NO_WAIT_MS / 1000)

        holder = threading.Thread(target=hold)
        holder.start()
        has_it.wait(30)
        with own.read():
            left.append(time_left())
        holder.join()
        with own.read():
            left.append(time_left())
    assert left[0] is not None
    assert left[0] < (database_module.LOCK_MS - database_module.NO_WAIT_MS) / 1000
    assert left[1] is None


def test_urgent_read_waits_briefly_for_a_file_lock(tmp_path: Path):
    path = tmp_path / "database.sqlite"
    with closing(Database(sqlite_url(path))) as database:
        database.migrate()
        database.close()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            for statement in ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "COMMIT"):
                other.execute(statement)
            began = time.monotonic()
            with pytest.raises(DatabaseUnavailable, match="locked"), wait_limit(0.1):
                count_events(database)
            assert time.monotonic() - began < database_module.LOCK_MS / 2000


def test_write_that_timed_out_on_a_lock_does_not_block_reads(impatient: Database):
    with impatient.write() as connection:
        append(connection)
        lock = "SELECT 1" if impatient.is_sqlite else "LOCK TABLE events IN EXCLUSIVE MODE"
        connection.execute(text(lock))
        with pytest.raises(DatabaseUnavailable), impatient.write() as other:
            append(other)
        with wait_limit(5):
            assert count_events(impatient) == 0


def test_use_of_the_database_is_recorded_for_the_context(database: Database):
    token = current_use.set(Use())
    try:
        count_events(database)
        assert current_use.get() == Use(has_read=True)
        with pytest.raises(RuntimeError), database.write():
            raise RuntimeError
        assert current_use.get() == Use(has_read=True)
        with database.write():
            pass
        assert current_use.get() == Use(has_read=True, has_written=True)
    finally:
        current_use.reset(token)


def test_file_in_a_missing_directory_is_unavailable(tmp_path: Path):
    database = Database(sqlite_url(tmp_path / "missing" / "database.sqlite"))
    with pytest.raises(DatabaseUnavailable, match="unable to open"), database.read():
        pass


def test_unreachable_server_is_unavailable():
    database = Database("postgresql://u@127.0.0.1:1/x")
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1"), database.read():
        pass
    with pytest.raises(DatabaseError, match="cannot be used"):
        database.migrate()


def test_connections_closed_by_the_server_are_replaced(database: Database):
    if database.is_sqlite:
        pytest.skip("a file has no server")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: count_events(database), range(16)))
    with database.write() as connection:
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}"))
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: count_events(database), range(16))) == {0}


def test_connection_closed_within_a_transaction_is_unavailable(database: Database):
    if database.is_sqlite:
        pytest.skip("a file has no server")
    with pytest.raises(DatabaseUnavailable), database.write() as connection:
        cut_and_append(database, connection)
    assert count_events(database) == 0


# -- remedies for a database that cannot be created --------------------------------------------------------------------


def why_unusable(database: Database) -> str:
    with pytest.raises(DatabaseError) as refused:
        database.migrate()
    return str(refused.value)


def refuse_to_open(database: Database) -> None:
    """Like a file or directory that this user may not access, which does not exist for root."""

    def refuse(*_: object) -> None:
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    event.listen(database.engine, "do_connect", refuse)


def test_missing_directory_is_reported_with_a_remedy(tmp_path: Path):
    file = tmp_path / "missing" / "database.sqlite"
    output = why_unusable(Database(sqlite_url(file)))
    assert output.startswith(f"the database {file} cannot be used (")
    assert output.endswith(f": create the directory {file.parent}, or set DATABASE_URL to another file")


def test_directory_in_place_of_a_file_is_named(tmp_path: Path):
    output = why_unusable(Database(sqlite_url(tmp_path)))
    assert output.endswith(": it is a directory: set DATABASE_URL to a file")


def test_inaccessible_file_is_reported_with_a_remedy(tmp_path: Path):
    (tmp_path / "database.sqlite").touch()
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    refuse_to_open(database)
    assert "give this user read and write access to it, its -wal and -shm files, and its directory" in why_unusable(
        database
    )


def test_directory_without_write_access_is_reported_with_a_remedy(tmp_path: Path):
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    refuse_to_open(database)
    output = why_unusable(database)
    assert f"give this user write access to {tmp_path} and free disk space" in output
    assert output.endswith("or choose another one with STORAGE_ROOT or DATABASE_URL")


def test_unreachable_server_is_reported_with_a_remedy():
    assert "Check that PostgreSQL runs there" in why_unusable(Database("postgresql://u@127.0.0.1:1/x"))


# -- concurrently used files -------------------------------------------------------------------------------------------


def test_file_being_created_by_another_server_is_waited_for(tmp_path: Path):
    path = tmp_path / "database.sqlite"
    database = Database(sqlite_url(path))
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.2, lambda: other.execute("COMMIT"))
        release.start()
        database.migrate()
        release.join()
    assert count_events(database) == 0
    database.close()


def test_transactions_are_measured_whether_they_succeed_or_not(database: Database):
    read, write = observed(transactions, "read"), observed(transactions, "write")
    with database.read():
        pass
    with pytest.raises(RuntimeError), database.write() as connection:
        append_and_fail(connection)
    assert observed(transactions, "read") >= read + 1
    assert observed(transactions, "write") >= write + 1


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    return CircuitBreaker(clock.monotonic)


def test_all_reads_are_admitted_while_the_database_answers(breaker: CircuitBreaker):
    breaker.note_success()
    assert [breaker.admits() for _ in range(3)] == [True] * 3


def test_no_read_is_admitted_right_after_a_failure(breaker: CircuitBreaker, clock: FakeClock):
    breaker.note_failure()
    clock.advance(PAUSE_SECONDS - 0.1)
    assert not breaker.admits()


def test_one_read_at_a_time_tries_again(breaker: CircuitBreaker, clock: FakeClock):
    breaker.note_failure()
    clock.advance(PAUSE_SECONDS)
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    clock.advance(PAUSE_SECONDS)
    assert [breaker.admits() for _ in range(3)] == [True, False, False]


def test_success_admits_all_reads_again(breaker: CircuitBreaker):
    breaker.note_failure()
    breaker.note_success()
    assert breaker.admits()


def noted() -> Use:
    use = Use()
    current_use.set(use)
    note_read()
    return use


def test_use_is_recorded_if_requested():
    use = copy_context().run(noted)
    assert (use.has_read, use.has_written) == (True, False)

    def write() -> Use:
        current_use.set(use)
        note_write()
        return use

    assert copy_context().run(write).has_written


def test_use_is_not_recorded_by_default():
    assert current_use.get() is None
    note_read()
    note_write()
    assert current_use.get() is None
