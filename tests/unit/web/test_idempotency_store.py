"""The contract of idempotency stores, in memory and in the database."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from api.db.database import Database
from api.domain.access.audit import RequestNote, note_change, noting
from api.errors import IdempotencyKeyReused, RequestInProgress
from api.util.clock import FakeClock
from api.web.idempotency import (
    KEPT_SECONDS,
    DatabaseIdempotencyStore,
    EarlierResult,
    IdempotencyStore,
    MemoryIdempotencyStore,
    StoredResponse,
)
from tests.databases import BACKENDS

ANSWER = StoredResponse(201, b"\x00\xff{}", (("Location", "/a"), ("Content-Type", "application/json")))


@pytest.fixture(params=["memory", *BACKENDS])
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of store."""
    return str(request.param)


@pytest.fixture
def store(backend: str, clock: FakeClock, request: pytest.FixtureRequest) -> IdempotencyStore:
    if backend == "memory":
        return MemoryIdempotencyStore(clock)
    return of_process(request.getfixturevalue("database"), clock, "here")


def of_process(database: Database, clock: FakeClock, owner: str, *alive: str) -> DatabaseIdempotencyStore:
    """The store of a server process that regards itself and `alive` as running."""
    return DatabaseIdempotencyStore(database, clock, owner, lambda other: other in (owner, *alive))


# -- the contract ------------------------------------------------------------------------------------------------------


def test_first_request_is_left_to_the_caller(store: IdempotencyStore):
    assert store.begin("k", b"1") is None


def test_finished_request_gets_its_response_again(store: IdempotencyStore):
    store.begin("k", b"1")
    store.finish("k", ANSWER)
    assert [store.begin("k", b"1") for _ in range(2)] == [ANSWER, ANSWER]


def test_response_without_headers_is_returned_again(store: IdempotencyStore):
    store.begin("k", b"1")
    store.finish("k", StoredResponse(204, b""))
    assert store.begin("k", b"1") == StoredResponse(204, b"")


def test_unfinished_request_is_in_progress(store: IdempotencyStore):
    store.begin("k", b"1")
    with pytest.raises(RequestInProgress) as refused:
        store.begin("k", b"1")
    assert refused.value.headers == {"Retry-After": "1"}


@pytest.mark.parametrize("answer", [None, ANSWER])
def test_another_body_is_refused(store: IdempotencyStore, answer: StoredResponse | None):
    store.begin("k", b"1")
    if answer:
        store.finish("k", answer)
    with pytest.raises(IdempotencyKeyReused):
        store.begin("k", b"2")


def test_failed_request_can_be_repeated(store: IdempotencyStore):
    store.begin("k", b"1")
    store.finish("k", None)
    assert store.begin("k", b"2") is None


def test_keys_of_two_routes_are_independent(store: IdempotencyStore):
    store.begin("route-a k", b"1")
    assert store.begin("route-b k", b"2") is None


def test_response_is_stored_for_a_day(store: IdempotencyStore, clock: FakeClock):
    store.begin("k", b"1")
    store.finish("k", ANSWER)
    clock.advance(KEPT_SECONDS)
    assert store.begin("k", b"1") == ANSWER
    clock.advance(1)
    assert store.begin("k", b"2") is None


@pytest.mark.parametrize("jump", [10.0 * KEPT_SECONDS, -10.0 * KEPT_SECONDS])
def test_clock_change_deletes_no_response(store: IdempotencyStore, clock: FakeClock, jump: float):
    store.begin("k", b"1")
    store.finish("k", ANSWER)
    clock.jump(jump)
    assert store.begin("k", b"1") == ANSWER


@pytest.mark.parametrize("jump", [25 * 3600.0, -25 * 3600.0, 366 * 86_400.0, -366 * 86_400.0])
def test_clock_change_between_two_starts_deletes_no_response(database: Database, clock: FakeClock, jump: float):
    before = of_process(database, clock, "before")
    before.begin("k", b"1")
    before.finish("k", ANSWER)
    steady = clock.steady.read()
    clock.jump(jump)
    clock.restart()
    clock.steady.resume(steady)
    assert of_process(database, clock, "after").begin("k", b"1") == ANSWER


def test_response_from_a_clock_ahead_is_stored_for_a_day(database: Database, clock: FakeClock):
    clock.jump(366 * 86_400)
    clock.restart()
    store = of_process(database, clock, "here")
    store.begin("k", b"1")
    store.finish("k", ANSWER)
    clock.jump(-366 * 86_400)
    assert store.begin("k", b"1") == ANSWER
    clock.advance(KEPT_SECONDS + 1)
    assert store.begin("k", b"1") is None


def test_finish_without_begin_changes_nothing(store: IdempotencyStore):
    store.finish("k", ANSWER)
    store.finish("k", None)
    assert store.begin("k", b"1") is None


def test_concurrent_requests_do_the_work_once(store: IdempotencyStore):
    together = threading.Barrier(64)

    def ask(_: int) -> str:
        together.wait()
        try:
            return "work" if store.begin("k", b"1") is None else "answer"
        except RequestInProgress:
            return "in progress"

    with ThreadPoolExecutor(64) as pool:
        output = sorted(pool.map(ask, range(64)))
    assert output == ["in progress"] * 63 + ["work"]


def test_concurrent_retries_get_the_one_response(store: IdempotencyStore):
    together, runs = threading.Barrier(64), count()

    def ask(_: int) -> StoredResponse:
        together.wait()
        while True:
            try:
                stored = store.begin("k", b"1")
            except RequestInProgress:
                continue
            if stored is None:
                stored = StoredResponse(201, f"run {next(runs)}".encode())
                store.finish("k", stored)
            return stored

    with ThreadPoolExecutor(64) as pool:
        assert set(pool.map(ask, range(64))) == {StoredResponse(201, b"run 0")}


def test_created_object_is_passed_to_the_retry_after_a_crash(database: Database, clock: FakeClock):
    gone = of_process(database, clock, "gone")
    gone.begin("k", b"1")
    with noting(RequestNote(clock.now(), "ann", "POST /x", is_change=True, key_scope="k")):
        note_change(about="cats", after={"version": 3})
        with database.write():
            pass
    here = of_process(database, clock, "here")
    assert here.begin("k", b"1") == EarlierResult("cats", {"version": 3})
    with pytest.raises(RequestInProgress):
        here.begin("k", b"1")
    here.finish("k", None)
    assert here.begin("k", b"1") == EarlierResult("cats", {"version": 3})
    here.finish("k", ANSWER)
    assert here.begin("k", b"1") == ANSWER
