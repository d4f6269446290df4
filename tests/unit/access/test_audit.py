"""Refusals are stored asynchronously: similar ones are counted, none is lost silently, and their rows are bounded."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.access import audit as audit_module
from api.access.audit import COUNT_SECONDS, MOST, MOST_OF_ADDRESS, PRUNE_SECONDS, AuditTrail, verify_all
from api.access.audit_store import AuditStore
from api.db.database import Database, sqlite_url
from api.domain.access.audit import AuditEntry, AuditFilter, AuditOutcome, AuditRow
from api.errors import DatabaseUnavailable
from api.util.clock import FakeClock
from api.util.http.pagination import PageRequest


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AuditStore]:
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    database.migrate()
    yield AuditStore(database)
    database.close()


@pytest.fixture
def trail(store: AuditStore, clock: FakeClock) -> AuditTrail:
    return AuditTrail(store, clock, retention_days=30)


def refusal(clock: FakeClock, **more: Any) -> AuditEntry:
    facts = {"actor": "nobody", "operation": "GET /x", "address": "10.0.0.1", "code": "unauthenticated"}
    return AuditEntry(**{"at": clock.now(), "outcome": AuditOutcome.REFUSED, **facts, **more})


def rows(trail: AuditTrail, **wanted: Any) -> list[AuditRow]:
    """Return the rows, oldest first."""
    trail.run_once()
    return list(reversed(trail.get_page(AuditFilter(**wanted), None, PageRequest(500)).rows))


def test_first_refusal_is_stored_immediately_and_similar_ones_are_counted(trail: AuditTrail, clock: FakeClock):
    for _ in range(50):
        trail.count(refusal(clock))
    assert [row.count for row in rows(trail)] == [1]
    clock.advance(COUNT_SECONDS)
    assert [row.count for row in rows(trail)] == [1, 49]
    trail.count(refusal(clock))
    assert [row.count for row in rows(trail)] == [1, 49, 1]


def test_different_refusals_have_separate_rows(trail: AuditTrail, clock: FakeClock):
    trail.count(refusal(clock))
    trail.count(refusal(clock, code="key_expired"))
    trail.count(refusal(clock, address="10.0.0.2"))
    trail.count(refusal(clock, operation="GET /y"))
    assert len(rows(trail)) == 4


def test_counted_row_names_an_object_only_if_it_was_always_the_same(trail: AuditTrail, clock: FakeClock):
    for task in ("t1", "t2", "t2"):
        trail.count(refusal(clock, object=task))
        trail.count(refusal(clock, operation="GET /y", object="t1"))
    clock.advance(COUNT_SECONDS)
    assert [(row.object, row.count) for row in rows(trail)] == [("t1", 1), ("t1", 1), (None, 2), ("t1", 2)]


def test_one_address_that_tries_everything_makes_few_rows(trail: AuditTrail, clock: FakeClock):
    for number in range(1000):
        trail.count(refusal(clock, operation=f"GET /{number}"))
    clock.advance(COUNT_SECONDS)
    found = rows(trail)
    assert len(found) <= MOST_OF_ADDRESS + 2
    assert sum(row.count for row in found) == 1000
    assert found[-1].operation == "various"


def test_many_addresses_make_a_bounded_number_of_rows_and_the_rest_is_counted(trail: AuditTrail, clock: FakeClock):
    for number in range(3 * MOST):
        trail.count(refusal(clock, address=f"10.0.{number // 250}.{number % 250}"))
    found = rows(trail)
    assert len(found) == MOST + 1
    assert (found[-1].outcome, found[-1].count, found[-1].actor) == (AuditOutcome.DROPPED, 2 * MOST, "service")


def test_waiting_entries_are_stored_when_the_database_is_back(
    trail: AuditTrail, store: AuditStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    def fail(entries: object) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(store, "append", fail)
        trail.take(refusal(clock, outcome=AuditOutcome.DONE))
        trail.count(refusal(clock))
        trail.run_once()
    assert len(rows(trail)) == 2
    assert len(rows(trail)) == 2


def test_entries_beyond_the_capacity_are_counted(trail: AuditTrail, clock: FakeClock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit_module, "CAPACITY", 2)
    for _ in range(5):
        trail.take(refusal(clock))
    found = rows(trail)
    assert [row.outcome for row in found] == ["refused", "refused", "dropped"]
    assert found[-1].count == 3


def test_waiting_entries_are_stored_at_the_stop(trail: AuditTrail, clock: FakeClock):
    trail.count(refusal(clock))
    trail.count(refusal(clock))
    trail.stop()
    page = trail.get_page(AuditFilter(), None, PageRequest(10))
    assert sorted(row.count for row in page.rows) == [1, 1]


def test_old_rows_are_removed_once_an_hour(trail: AuditTrail, clock: FakeClock):
    trail.take(refusal(clock))
    assert len(rows(trail)) == 1
    clock.advance(31 * 86_400)
    assert [row.operation for row in rows(trail)] == ["prune"]
    trail.take(replace(refusal(clock), at=clock.now() - timedelta(days=99)))
    assert len(rows(trail)) == 2
    clock.advance(PRUNE_SECONDS)
    rows(trail)
    assert trail.verify(None).ok


def test_without_a_retention_time_all_rows_stay(store: AuditStore, clock: FakeClock):
    trail = AuditTrail(store, clock, retention_days=0)
    trail.take(refusal(clock))
    clock.advance(9999 * 86_400)
    assert len(rows(trail)) == 1


def test_operation_is_found_by_a_part_of_its_name(trail: AuditTrail, clock: FakeClock):
    trail.take(refusal(clock, operation="POST /api/v1/training/start"))
    trail.take(refusal(clock, operation="DELETE /api/v1/training/<task_id>"))
    trail.run_once()

    def found(text: str) -> list[str]:
        return [row.operation for row in trail.get_page(AuditFilter(), text, PageRequest(10)).rows]

    assert found("Training/START") == ["POST /api/v1/training/start"]
    assert len(found("training")) == 2
    assert found("nothing of the kind") == []


def test_page_has_the_cursor_of_the_next_one(trail: AuditTrail, clock: FakeClock):
    for _ in range(3):
        trail.take(refusal(clock))
    trail.run_once()
    first = trail.get_page(AuditFilter(), None, PageRequest(2))
    assert (first.pagination.total, first.pagination.has_more, first.pagination.next_cursor) == (3, True, "2")
    last = trail.get_page(AuditFilter(), None, PageRequest(2, cursor=first.pagination.next_cursor))
    assert ([row.id for row in last.rows], last.pagination.has_more) == ([1], False)


def test_anchor_reveals_a_replaced_chain(trail: AuditTrail, store: AuditStore, clock: FakeClock):
    (stored,) = store.append([refusal(clock)])
    assert trail.verify(None, (stored.id, stored.hash)).anchor_holds is True
    verdict = trail.verify(None, (stored.id, "0" * 64))
    assert (verdict.ok, verdict.problem, verdict.anchor_holds) == (False, None, False)
    assert trail.verify(None, (7, stored.hash)).anchor_holds is False


def test_whole_chain_is_verified_however_long_it_is(
    store: AuditStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    store.append([refusal(clock)] * 10)
    whole = store.check
    monkeypatch.setattr(store, "check", lambda after=None: whole(after, most=3, batch=2))
    verdict = verify_all(store)
    assert (verdict.ok, verdict.complete, verdict.checked, verdict.first_id, verdict.last_id) == (True, True, 10, 1, 10)


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("jump", [25 * 3600.0, 366 * 86_400.0, -25 * 3600.0, -366 * 86_400.0])
def test_clock_change_removes_no_audit_rows(store: AuditStore, clock: FakeClock, jump: float, is_restarted: bool):
    store.append([refusal(clock)])
    clock.advance(29 * 86_400)
    steady = clock.steady.read()
    clock.jump(jump)
    if is_restarted:
        clock.restart()
        clock.steady.resume(steady)
    trail = AuditTrail(store, clock, retention_days=30)
    for _ in range(5):
        trail.run_once()
        clock.advance(3600)
    assert store.find_hash(1) is not None


def test_each_prune_after_a_clock_jump_removes_a_few_hours_of_the_audit(store: AuditStore, clock: FakeClock):
    for _ in range(48):
        store.append([refusal(clock)])
        clock.advance(3600)
    clock.advance(28 * 86_400)
    clock.jump(366 * 86_400)
    trail, left = AuditTrail(store, clock, retention_days=30), []
    for _ in range(4):
        trail.run_once()
        left.append(sum(row.operation != "prune" for row in rows(trail)))
        clock.advance(3600)
    assert left == [48, 44, 40, 36]
