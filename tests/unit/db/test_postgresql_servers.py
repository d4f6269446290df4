"""With several servers, the primary is found, and a silent server delays nothing."""

import threading
import time
from collections.abc import Iterator, Mapping

import psycopg
import pytest
from sqlalchemy import text

from api.db import database as database_module
from api.db.database import Database
from api.db.database_url import DatabaseError
from api.db.postgresql import Servers
from api.errors import DatabaseUnavailable
from api.util.deadlines import time_left, within
from tests.patience import BUSY_SECONDS
from tests.postgres_pair import PostgresPair

pytestmark = pytest.mark.slow

A, B = {"host": "a", "port": "1"}, {"host": "b", "port": "2"}


class Answers:
    """The behaviour of each server: accept, refuse, or stay silent until the timeout."""

    def __init__(self, **how: str) -> None:
        self.how = how
        self.requests: list[str] = []

    def connect(self, server: Mapping[str, str]) -> str:
        self.requests.append(server["host"])
        how = self.how[server["host"]]
        if how == "silent":
            time.sleep(time_left() or 0)
        if how != "answers":
            raise psycopg.OperationalError(f"connection to {server['host']} failed: {how}\nmore")
        return server["host"]


def test_server_that_accepted_is_tried_first_next_time() -> None:
    servers, answers = Servers([A, B]), Answers(a="session is read-only", b="answers")
    assert [servers.connect(answers.connect, 1) for _ in range(3)] == ["b", "b", "b"]
    assert answers.requests == ["a", "b", "b", "b"]


def test_errors_of_all_servers_are_reported() -> None:
    answers = Answers(a="Connection refused", b="session is read-only")
    with pytest.raises(psycopg.OperationalError) as refused:
        Servers([A, B]).connect(answers.connect, 1)
    assert str(refused.value) == "a:1: Connection refused; b:2: session is read-only"


def test_silent_server_leaves_half_of_the_time_for_the_other() -> None:
    began = time.monotonic()
    assert Servers([A, B]).connect(Answers(a="silent", b="answers").connect, 2) == "b"
    assert 1 <= time.monotonic() - began < 1.9


def test_urgent_caller_waits_no_longer_than_its_deadline() -> None:
    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError), within(0.05):
        Servers([A, B]).connect(Answers(a="silent", b="silent").connect, 60)
    assert time.monotonic() - began < 1 + BUSY_SECONDS


def test_silent_server_is_tried_last_next_time() -> None:
    servers, answers = Servers([A, B]), Answers(a="silent", b="silent")
    with pytest.raises(psycopg.OperationalError), within(0.02):
        servers.connect(answers.connect, 1)
    answers.how["b"] = "answers"
    assert servers.connect(answers.connect, 1) == "b"
    assert answers.requests == ["a", "b", "b"]


def test_single_server_reports_its_own_error() -> None:
    with pytest.raises(psycopg.OperationalError, match=r"^connection to a failed: refused"):
        Servers([A]).connect(Answers(a="refused").connect, 1)


@pytest.fixture(scope="module")
def pair() -> Iterator[PostgresPair]:
    with PostgresPair() as pair:
        yield pair


@pytest.fixture
def database(pair: PostgresPair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(database_module, "LOCK_MS", 1000)
    database = Database(pair.url)
    database.migrate()
    yield database
    database.close()


def write(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS written (moment timestamptz DEFAULT now())"))
        connection.execute(text("INSERT INTO written DEFAULT VALUES"))


def test_replica_alone_is_refused_with_a_remedy(pair: PostgresPair) -> None:
    with pytest.raises(DatabaseError, match=r"session is read-only.*promote the replica, or set DATABASE_URL"):
        Database(pair.replica.url).migrate()


def test_replica_may_be_read_if_configured(pair: PostgresPair, database: Database) -> None:
    replica = Database(f"{pair.replica.url}&target_session_attrs=any")
    with replica.read() as connection:
        assert connection.scalar(text("SELECT pg_is_in_recovery()")) is True
    with pytest.raises(DatabaseUnavailable, match=r"read-only transaction.*promote the replica"):
        write(replica)
    replica.close()


def test_nothing_is_acknowledged_before_the_replica_has_it(pair: PostgresPair, database: Database) -> None:
    write(database)
    pair.replica.freeze()
    try:
        with pytest.raises(DatabaseUnavailable, match="did not answer in time"):
            write(database)
    finally:
        pair.replica.thaw()
    write(database)


def test_cancelled_wait_for_the_replica_acknowledges_nothing(pair: PostgresPair, database: Database) -> None:
    write(database)
    pair.replica.freeze()
    canceller = threading.Thread(target=cancel_the_wait, args=(pair,))
    canceller.start()
    try:
        with pytest.raises(DatabaseUnavailable, match="the replica has not confirmed the change"):
            write(database)
    finally:
        canceller.join(10)
        pair.replica.thaw()


def cancel_the_wait(pair: PostgresPair) -> None:
    waits = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    with psycopg.connect(pair.primary.url, autocommit=True) as connection:
        end = time.monotonic() + 5
        while not connection.execute(waits).fetchall() and time.monotonic() < end:
            time.sleep(0.01)


def test_read_only_server_is_left_for_the_primary(pair: PostgresPair, database: Database) -> None:
    write(database)
    pair.primary.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    try:
        with pytest.raises(DatabaseUnavailable, match="promote the replica"):
            write_for_a_second(database)
    finally:
        pair.primary.execute(
            "SET default_transaction_read_only = off",
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
        )
    write(database)


def write_for_a_second(database: Database) -> None:
    """Existing connections notice a change of the settings a little later."""
    for _ in range(50):
        write(database)
        time.sleep(0.02)
