"""The limits of the store in memory; its contract is tested with the one in the database."""

import pytest

from api.errors import RequestInProgress
from api.util.clock import FakeClock
from api.web import idempotency
from api.web.idempotency import MemoryIdempotencyStore, StoredResponse

ANSWER = StoredResponse(201, b"{}", (("Location", "/a"),))


@pytest.fixture
def store(clock: FakeClock) -> MemoryIdempotencyStore:
    return MemoryIdempotencyStore(clock)


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
