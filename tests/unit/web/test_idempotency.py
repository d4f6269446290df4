import pytest

from api.errors import IdempotencyKeyReused, RequestInProgress
from api.util.clock import FakeClock
from api.web import idempotency
from api.web.idempotency import KEPT_SECONDS, MemoryIdempotencyStore, StoredResponse

ANSWER = StoredResponse(201, b"{}", (("Location", "/a"),))


@pytest.fixture
def store(clock: FakeClock) -> MemoryIdempotencyStore:
    return MemoryIdempotencyStore(clock)


def test_first_request_is_left_to_the_caller(store: MemoryIdempotencyStore):
    assert store.begin("k", b"1") is None


def test_finished_request_gets_its_response_again(store: MemoryIdempotencyStore):
    store.begin("k", b"1")
    store.finish("k", ANSWER)
    assert store.begin("k", b"1") == ANSWER


def test_unfinished_request_is_in_progress(store: MemoryIdempotencyStore):
    store.begin("k", b"1")
    with pytest.raises(RequestInProgress) as refused:
        store.begin("k", b"1")
    assert refused.value.headers == {"Retry-After": "1"}


@pytest.mark.parametrize("answer", [None, ANSWER])
def test_another_body_is_refused(store: MemoryIdempotencyStore, answer: StoredResponse | None):
    store.begin("k", b"1")
    if answer:
        store.finish("k", answer)
    with pytest.raises(IdempotencyKeyReused):
        store.begin("k", b"2")


def test_failed_request_can_be_repeated(store: MemoryIdempotencyStore):
    store.begin("k", b"1")
    store.finish("k", None)
    assert store.begin("k", b"2") is None


def test_keys_of_two_routes_are_independent(store: MemoryIdempotencyStore):
    store.begin("route-a k", b"1")
    assert store.begin("route-b k", b"2") is None


def test_response_is_stored_for_a_day(store: MemoryIdempotencyStore, clock: FakeClock):
    store.begin("k", b"1")
    store.finish("k", ANSWER)
    clock.advance(KEPT_SECONDS)
    assert store.begin("k", b"1") == ANSWER
    clock.advance(1)
    assert store.begin("k", b"2") is None


def test_oldest_response_is_dropped_at_the_capacity(store: MemoryIdempotencyStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(idempotency, "CAPACITY", 3)
    for name in "abcd":
        store.begin(name, b"1")
        store.finish(name, ANSWER)
    assert [store.begin(name, b"1") for name in "bcd"] == [ANSWER] * 3
    assert store.begin("a", b"1") is None


def test_oldest_response_at_the_capacity_is_still_replayed(
    store: MemoryIdempotencyStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(idempotency, "CAPACITY", 2)
    for name in "ab":
        store.begin(name, b"1")
        store.finish(name, ANSWER)
    assert store.begin("a", b"1") == ANSWER


def test_request_in_progress_is_never_dropped(store: MemoryIdempotencyStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(idempotency, "CAPACITY", 2)
    store.begin("working", b"1")
    for name in "abc":
        store.begin(name, b"1")
        store.finish(name, ANSWER)
    with pytest.raises(RequestInProgress):
        store.begin("working", b"1")
