"""Several servers of which one takes changes: it is found, and a silent one holds nobody up."""

import threading
import time
from collections.abc import Iterator, Mapping

import psycopg
import pytest
from sqlalchemy import text

from api.db import database as database_module
from api.db.database import Database
from api.db.database_url import DatabaseError
from api.db.postgresql_servers import Servers
from api.errors import DatabaseUnavailable
from api.util.deadlines import time_left, within
from tests.postgres_pair import PostgresPair

pytestmark = pytest.mark.slow

A, B = {"host": "a", "port": "1"}, {"host": "b", "port": "2"}


class Answers:
    """What each server does when it is asked: answer, refuse, or be silent for as long as it is waited for."""

    def __init__(self, **how: str) -> None:
        self.how = how
        self.asked: list[str] = []

    def connect(self, server: Mapping[str, str]) -> str:
        self.asked.append(server["host"])
        how = self.how[server["host"]]
        if how == "silent":
            time.sleep(time_left() or 0)
        if how != "answers":
            raise psycopg.OperationalError(f"connection to {server['host']} failed: {how}\nmore")
        return server["host"]


def test_the_one_that_answered_is_asked_first_the_next_time() -> None:
    servers, answers = Servers([A, B]), Answers(a="session is read-only", b="answers")
    assert [servers.connect(answers.connect, 1) for _ in range(3)] == ["b", "b", "b"]
    assert answers.asked == ["a", "b", "b", "b"]


def test_what_each_of_them_says_is_told() -> None:
    answers = Answers(a="Connection refused", b="session is read-only")
    with pytest.raises(psycopg.OperationalError) as refused:
        Servers([A, B]).connect(answers.connect, 1)
    assert str(refused.value) == "a:1: Connection refused; b:2: session is read-only"


def test_a_silent_server_leaves_half_of_the_time_for_the_other() -> None:
    began = time.monotonic()
    assert Servers([A, B]).connect(Answers(a="silent", b="answers").connect, 0.2) == "b"
    assert 0.1 <= time.monotonic() - began < 0.19


def test_a_hurried_caller_waits_no_longer_than_it_may() -> None:
    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError), within(0.05):
        Servers([A, B]).connect(Answers(a="silent", b="silent").connect, 60)
    assert time.monotonic() - began < 1


def test_who_was_asked_in_vain_is_asked_last_the_next_time() -> None:
    servers, answers = Servers([A, B]), Answers(a="silent", b="silent")
    with pytest.raises(psycopg.OperationalError), within(0.02):
        servers.connect(answers.connect, 1)
    answers.how["b"] = "answers"
    assert servers.connect(answers.connect, 1) == "b"
    assert answers.asked == ["a", "b", "b"]


def test_a_single_server_speaks_for_itself() -> None:
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


def test_a_replica_alone_is_refused_with_what_to_do(pair: PostgresPair) -> None:
    with pytest.raises(DatabaseError, match=r"session is read-only.*promote the replica, or name in DATABASE_URL"):
        Database(pair.replica.url).migrate()


def test_a_replica_may_be_read_by_who_asks_for_it(pair: PostgresPair, database: Database) -> None:
    replica = Database(f"{pair.replica.url}&target_session_attrs=any")
    with replica.read() as connection:
        assert connection.scalar(text("SELECT pg_is_in_recovery()")) is True
    with pytest.raises(DatabaseUnavailable, match=r"read-only transaction.*promote the replica"):
        write(replica)
    replica.close()


def test_nothing_is_acknowledged_while_the_replica_has_it_not(pair: PostgresPair, database: Database) -> None:
    write(database)
    pair.replica.freeze()
    try:
        with pytest.raises(DatabaseUnavailable, match="not answered in time"):
            write(database)
    finally:
        pair.replica.thaw()
    write(database)


def test_a_wait_for_the_replica_that_somebody_cancels_acknowledges_nothing(
    pair: PostgresPair, database: Database
) -> None:
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


def test_a_server_that_is_closed_to_changes_is_left_for_the_one_that_is_open(
    pair: PostgresPair, database: Database
) -> None:
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
    """Its connections were made before, and hear of a change of the settings a little later."""
    for _ in range(50):
        write(database)
        time.sleep(0.02)
