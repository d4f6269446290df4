"""A silent PostgreSQL: a frozen server keeps its connections, and the kernel accepts new ones."""

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import wait

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.db import database as database_module
from api.db import postgresql
from api.db.database import Database
from api.db.database_errors import PROMOTE, first_line, is_access, translate
from api.errors import DatabaseDamaged, DatabaseUnavailable, StorageFull
from api.util.deadlines import wait_limit
from tests.databases import fresh_postgres
from tests.patience import BUSY_SECONDS

pytestmark = pytest.mark.slow


class Relay:
    """Forwards bytes between clients and a server, and can stop forwarding."""

    def __init__(self, url: str) -> None:
        server = make_url(url)
        self._server = (server.host or "127.0.0.1", server.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        own = server.set(host="127.0.0.1", port=self._listener.getsockname()[1])
        self.url = own.render_as_string(hide_password=False)
        self._peers: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self.questions = 0  #: how often a client has sent something
        self._passes = threading.Event()
        self._passes.set()
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def freeze(self) -> None:
        self._passes.clear()

    def thaw(self) -> None:
        self._passes.set()

    def hang_up(self) -> None:
        """Close every connection, like a restarting server."""
        for each in list(self._peers):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._is_ending = True
        self.thaw()
        self._thread.join(5)
        for each in (self._listener, *self._peers):
            each.close()

    def _run(self) -> None:
        while not self._is_ending:
            ready = wait([self._listener, *self._peers], 0.05)
            self._passes.wait()
            for each in ready:
                if each is self._listener:
                    client, server = self._listener.accept()[0], socket.create_connection(self._server)
                    self._peers |= {client: server, server: client}
                    self._clients.add(client)
                elif each in self._peers:
                    self._pass_on(each)

    def _pass_on(self, source: socket.socket) -> None:
        content = b""
        with suppress(OSError):
            content = source.recv(65536)
            self.questions += bool(content) and source in self._clients
            self._peers[source].sendall(content)
        if not content:
            for each in (source, self._peers[source]):
                del self._peers[each]
                each.close()


@pytest.fixture
def relay() -> Iterator[Relay]:
    with fresh_postgres() as url:
        relay = Relay(url)
        yield relay
        relay.close()


@pytest.fixture
def database(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(database_module, "LOCK_MS", 300)
    monkeypatch.setattr(postgresql, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(postgresql, "PING_SECONDS", 0.3)
    monkeypatch.setattr(postgresql, "CONNECT_SECONDS", 2)  # libpq's minimum
    database = Database(relay.url)
    database.migrate()
    yield database
    database.close()


def ask(database: Database) -> int:
    with database.read() as connection:
        answer: int = connection.execute(text("SELECT 1")).scalar_one()
        return answer


def seconds_of_a_hurried_read(database: Database) -> float:
    """The read must fail. libpq's minimum is 2 s, and a begin may take 1.5 s."""
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match="in time"), wait_limit(0.3):
        ask(database)
    return time.monotonic() - began


def freeze_and_ask(relay: Relay, database: Database) -> None:
    with database.read() as connection:
        connection.execute(text("SELECT 1"))
        relay.freeze()
        connection.execute(text("SELECT 2"))


def test_server_that_freezes_during_a_transaction_is_unavailable(relay: Relay, database: Database):
    with pytest.raises(DatabaseUnavailable, match="did not answer"):
        freeze_and_ask(relay, database)


def test_frozen_server_is_unavailable(relay: Relay, database: Database):
    assert ask(database) == 1
    relay.freeze()
    with pytest.raises(DatabaseUnavailable):
        ask(database)


@pytest.fixture
def slow(relay: Relay) -> Iterator[Database]:
    """A database with the service's own timeouts of seconds."""
    database = Database(relay.url)
    database.migrate()
    yield database
    database.close()


def test_urgent_read_on_a_frozen_connection_ends_within_its_deadline(relay: Relay, slow: Database):
    assert ask(slow) == 1
    relay.freeze()
    assert seconds_of_a_hurried_read(slow) < 2 + BUSY_SECONDS


def test_urgent_read_while_connecting_ends_within_its_deadline(relay: Relay, slow: Database):
    slow.close()
    relay.freeze()
    assert seconds_of_a_hurried_read(slow) < 2 + BUSY_SECONDS


def test_second_urgent_read_is_refused_immediately(relay: Relay, slow: Database):
    assert ask(slow) == 1
    relay.freeze()
    seconds_of_a_hurried_read(slow)
    with pytest.raises(DatabaseUnavailable, match="at present"), wait_limit(0.3):
        ask(slow)


def test_server_that_recovers_is_used_again(relay: Relay, database: Database):
    assert ask(database) == 1
    relay.freeze()
    with pytest.raises(DatabaseUnavailable):
        ask(database)
    relay.thaw()
    assert ask(database) == 1


def test_transaction_needs_two_extra_round_trips(relay: Relay, database: Database):
    ask(database)
    before = relay.questions
    ask(database)
    assert relay.questions - before == 3, "to begin (which also checks the connection) and to commit"


def test_restarted_server_is_used_again_immediately(relay: Relay, database: Database):
    assert ask(database) == 1
    relay.hang_up()
    assert ask(database) == 1
    with database.write() as connection:
        assert connection.execute(text("SELECT 2")).scalar_one() == 2


def test_server_that_closes_a_new_connection_is_unavailable(
    relay: Relay, database: Database, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise psycopg.OperationalError("terminating connection")

    database.close()
    monkeypatch.setattr(postgresql.BoundedConnection, "begin", refuse)
    with pytest.raises(DatabaseUnavailable, match="terminating"):
        ask(database)


def how_it_runs(connection: Connection) -> tuple[str, str]:
    return tuple(connection.scalar(text(f"SHOW {name}")) for name in ("transaction_isolation", "transaction_read_only"))


def test_reads_use_a_read_only_snapshot_and_writes_see_committed_rows(database: Database):
    for _ in range(2):
        with database.read() as connection:
            assert how_it_runs(connection) == ("repeatable read", "on")
        with database.write() as connection:
            assert how_it_runs(connection) == ("read committed", "off")


def test_second_transaction_of_a_connection_can_be_rolled_back(database: Database):
    with database.engine.connect() as connection:
        connection.execute(text("CREATE TABLE kept (id integer)"))
        connection.commit()
        connection.execute(text("INSERT INTO kept VALUES (1)"))
        connection.rollback()
        assert connection.scalar(text("SELECT count(*) FROM kept")) == 0


def test_migration_may_take_long(relay: Relay, database: Database):
    with database.engine.connect() as connection:
        database._set_lock_timeout(connection, database_module.MIGRATION_LOCK_MS)
        connection.execute(text("SET statement_timeout = 0"))
        assert connection.execute(text("SELECT 1 FROM pg_sleep(0.8)")).scalar_one() == 1


@pytest.mark.parametrize("kind", [sqlite3.DatabaseError, psycopg.InternalError, psycopg.ProgrammingError])
def test_driver_errors_are_recognised(kind: type[Exception]):
    assert type(translate(DBAPIError("SELECT", None, kind("odd")))) is DatabaseUnavailable  # type: ignore[arg-type]
    assert type(translate(kind("odd"))) is DatabaseUnavailable


def test_rejected_values_are_left_to_the_caller():
    assert translate(IntegrityError("INSERT", None, sqlite3.IntegrityError("UNIQUE"))) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.errors.DiskFull("no space"), StorageFull),
        (psycopg.errors.DataCorrupted("page"), DatabaseDamaged),
        (psycopg.errors.IndexCorrupted("index"), DatabaseDamaged),
    ],
)
def test_postgresql_errors_are_translated_by_kind(error: Exception, expected: type[Exception]):
    assert type(translate(error)) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_CORRUPT, DatabaseDamaged),
        (sqlite3.SQLITE_NOTADB, DatabaseDamaged),
        (sqlite3.SQLITE_CORRUPT | (1 << 8), DatabaseDamaged),
        (sqlite3.SQLITE_FULL, StorageFull),
        (sqlite3.SQLITE_BUSY, DatabaseUnavailable),
    ],
)
def test_sqlite_errors_are_translated_by_kind(code: int, expected: type[Exception]):
    error = sqlite3.OperationalError("database trouble")
    error.sqlite_errorcode = code
    translated = translate(error)
    assert type(translated) is expected
    assert translated is not None
    assert translated.headers["Retry-After"]


def test_exhausted_connections_are_reported():
    translated = translate(PoolTimeout("QueuePool limit"))
    assert translated is not None
    assert translated.detail == "All connections to the database are in use."


@pytest.mark.parametrize(
    ("code", "is_one"), [(sqlite3.SQLITE_READONLY, True), (sqlite3.SQLITE_CANTOPEN, True), (sqlite3.SQLITE_BUSY, False)]
)
def test_inaccessible_file_is_recognised(code: int, is_one: bool):
    error = sqlite3.OperationalError("trouble")
    error.sqlite_errorcode = code
    assert is_access(error) is is_one


def test_first_line_of_the_drivers_message_is_used():
    assert first_line(sqlite3.OperationalError("one\ntwo")) == "one."
    assert first_line(sqlite3.OperationalError("")) == "OperationalError."


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"), True),
        (psycopg.OperationalError("a: session is read-only"), True),
        (psycopg.errors.SyntaxError("read-only"), False),
        (psycopg.OperationalError("Connection refused"), False),
    ],
)
def test_read_only_postgresql_is_reported_with_a_remedy(error: Exception, is_one: bool):
    translated = translate(error)
    assert translated is not None
    assert translated.detail.endswith(PROMOTE) is is_one
