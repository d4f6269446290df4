"""Stored responses in the database: after a restart, and between server processes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from api.db.database import Database
from api.db.tables import kept_answers
from api.errors import IdempotencyKeyReused, RequestInProgress
from api.util.clock import FakeClock
from api.web.idempotency import KEPT_SECONDS, DatabaseIdempotencyStore
from tests.unit.web.test_idempotency_store import ANSWER, of_process


def test_response_survives_its_server(database: Database, clock: FakeClock):
    first = of_process(database, clock, "first")
    first.begin("k", b"1")
    first.finish("k", ANSWER)
    again = Database(database.url.render_as_string(hide_password=False))
    assert of_process(again, clock, "second").begin("k", b"1") == ANSWER
    again.close()


def test_request_of_a_running_server_is_in_progress_elsewhere(database: Database, clock: FakeClock):
    of_process(database, clock, "first").begin("k", b"1")
    with pytest.raises(RequestInProgress):
        of_process(database, clock, "second", "first").begin("k", b"1")


def test_request_of_a_dead_server_is_taken_over(database: Database, clock: FakeClock):
    of_process(database, clock, "first").begin("k", b"1")
    second = of_process(database, clock, "second")
    assert second.begin("k", b"1") is None
    with pytest.raises(RequestInProgress):
        second.begin("k", b"1")
    second.finish("k", ANSWER)
    assert second.begin("k", b"1") == ANSWER


def test_request_of_a_dead_server_is_not_taken_over_with_another_body(database: Database, clock: FakeClock):
    of_process(database, clock, "first").begin("k", b"1")
    with pytest.raises(IdempotencyKeyReused):
        of_process(database, clock, "second").begin("k", b"2")


def test_server_that_lost_a_request_does_not_store_its_response(database: Database, clock: FakeClock):
    first, second = of_process(database, clock, "first"), of_process(database, clock, "second")
    first.begin("k", b"1")
    second.begin("k", b"1")
    first.finish("k", ANSWER)
    first.finish("k", None)
    with pytest.raises(RequestInProgress):
        second.begin("k", b"1")


def test_one_of_many_servers_takes_over(database: Database, clock: FakeClock):
    of_process(database, clock, "gone").begin("k", b"1")
    owners = [f"server-{number}" for number in range(12)]
    together = threading.Barrier(12)

    def take(owner: str) -> bool:
        together.wait()
        try:
            return of_process(database, clock, owner, *owners).begin("k", b"1") is None
        except RequestInProgress:
            return False

    with ThreadPoolExecutor(12) as pool:
        assert sorted(pool.map(take, owners)) == [False] * 11 + [True]


def test_concurrent_takeover_is_reported(database: Database, clock: FakeClock):
    if database.is_sqlite:
        pytest.skip("writers of SQLite take turns")
    of_process(database, clock, "gone").begin("k", b"1")
    quick = of_process(database, clock, "quick")

    def is_alive(_: str) -> bool:
        # Between reading the row and taking it over.
        assert quick.begin("k", b"1") is None
        return False

    with pytest.raises(RequestInProgress):
        DatabaseIdempotencyStore(database, clock, "slow", is_alive).begin("k", b"1")


def test_old_responses_are_deleted(database: Database, clock: FakeClock):
    store = of_process(database, clock, "here")
    for number in range(5):
        store.begin(f"k{number}", b"1")
        store.finish(f"k{number}", ANSWER)
    clock.advance(KEPT_SECONDS + 1)
    store.begin("k", b"1")
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(kept_answers)) == 1
