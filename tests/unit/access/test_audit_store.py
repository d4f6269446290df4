"""The audit: filters, verification of the chain, and pruning."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from api.access import audit_store as audit_module
from api.access.audit_store import AuditStore
from api.db.database import Database
from api.db.tables import audit, audit_chain
from api.domain.access.audit import AuditEntry, AuditFilter, AuditOutcome
from tests.unit.db.builders import NOW, later


@pytest.fixture
def store(database: Database) -> AuditStore:
    return AuditStore(database)


def entry(number: int = 0, **more: Any) -> AuditEntry:
    return AuditEntry(**{"at": later(number), "actor": "ann", "operation": "POST /x", "after": {"n": number}, **more})


def execute(database: Database, *statements: Any) -> None:
    with database.write() as connection:
        for statement in statements:
            connection.execute(statement)


def _swap(database: Database) -> None:
    fields = [column for column in audit.c if column.name not in ("id", "hash")]
    with database.write() as connection:
        two = connection.execute(select(*fields).where(audit.c.id.in_((3, 4))).order_by(audit.c.id)).mappings().all()
        connection.execute(update(audit).where(audit.c.id == 3).values(dict(two[1])))
        connection.execute(update(audit).where(audit.c.id == 4).values(dict(two[0])))


def _swap_ids(database: Database) -> None:
    moves = ((3, 99), (4, 3), (99, 4))
    execute(database, *(update(audit).where(audit.c.id == old).values(id=new) for old, new in moves))


def _insert(database: Database) -> None:
    with database.write() as connection:
        row = dict(connection.execute(select(audit).where(audit.c.id == 6)).mappings().one())
        connection.execute(insert(audit).values({**row, "id": 7, "actor": "mallory"}))


#: Manipulations of six rows by someone with access to the database, and the first row where each is detected.
TAMPERING: dict[str, tuple[Callable[[Database], None], int]] = {
    "a changed actor": (lambda d: execute(d, update(audit).where(audit.c.id == 3).values(actor="bob")), 3),
    "a changed time": (lambda d: execute(d, update(audit).where(audit.c.id == 3).values(at=audit.c.at + 0.001)), 3),
    "a changed value": (lambda d: execute(d, update(audit).where(audit.c.id == 3).values(after={"n": 4})), 3),
    "a changed hash": (lambda d: execute(d, update(audit).where(audit.c.id == 3).values(hash="0" * 64)), 3),
    "a row cut out of the middle": (lambda d: execute(d, delete(audit).where(audit.c.id == 3)), 3),
    "the first row cut off": (lambda d: execute(d, delete(audit).where(audit.c.id == 1)), 1),
    "the last row cut off": (lambda d: execute(d, delete(audit).where(audit.c.id == 6)), 6),
    "every row removed": (lambda d: execute(d, delete(audit)), 6),
    "two rows with their places exchanged": (_swap, 3),
    "two rows with their ids exchanged": (_swap_ids, 3),
    "a row put in": (_insert, 7),
    "a head that ends earlier": (lambda d: execute(d, update(audit_chain).values(last_id=5)), 5),
    "a head with another hash": (lambda d: execute(d, update(audit_chain).values(last_hash="0" * 64)), 6),
    "a head that begins later": (lambda d: execute(d, update(audit_chain).values(first_id=3)), 1),
    "another beginning": (lambda d: execute(d, update(audit_chain).values(before_first="1" * 64)), 1),
    "no head": (lambda d: execute(d, delete(audit_chain)), 1),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_tampering_is_detected(what: str, store: AuditStore, database: Database):
    store.append([entry(number) for number in range(6)])
    assert store.check().is_unbroken
    tamper, bad_id = TAMPERING[what]
    tamper(database)
    check = store.check()
    assert not check.is_unbroken
    assert check.bad_id == bad_id
    assert check.problem is not None


def test_empty_chain_is_intact(store: AuditStore):
    check = store.check()
    assert (check.is_unbroken, check.checked, check.first_id) == (True, 0, None)


def test_long_chain_is_verified_in_parts(store: AuditStore):
    store.append([entry(number) for number in range(10)])
    first = store.check(most=4, batch=3)
    assert (first.checked, first.next_id) == (4, 4)
    rest = store.check(after=first.next_id, batch=3)
    assert (rest.checked, rest.next_id, rest.is_unbroken) == (6, None, True)


def test_continued_verification_detects_a_row_changed_meanwhile(store: AuditStore, database: Database):
    store.append([entry(number) for number in range(6)])
    store.check(most=3)
    execute(database, update(audit).where(audit.c.id == 5).values(actor="bob"))
    assert store.check(after=3).bad_id == 5


def test_verification_from_a_missing_row_reports_it(store: AuditStore):
    store.append([entry()])
    assert store.check(after=9).bad_id == 9


def test_audit_is_filtered_by_actor_object_time_and_outcome(store: AuditStore):
    store.append(
        [
            entry(0, actor="ann", object="t1"),
            entry(1, actor="bob", object="t1", outcome=AuditOutcome.REFUSED, code="not_yours"),
            entry(2, actor="bob", operation="DELETE /x", object="t2"),
        ]
    )

    def ids(**wanted: Any) -> list[int]:
        return [record.id for record in store.page(AuditFilter(**wanted), 10, None)[0]]

    assert ids() == [3, 2, 1]
    assert ids(actor="bob") == [3, 2]
    assert ids(object="t1") == [2, 1]
    assert ids(outcome=AuditOutcome.REFUSED) == [2]
    assert ids(operations=("DELETE /x", "PUT /x")) == [3]
    assert ids(since=later(1), until=later(2)) == [2]


def test_pages_continue_after_the_last_id(store: AuditStore):
    store.append([entry(number) for number in range(5)])
    first, total = store.page(AuditFilter(), 2, None)
    then, _ = store.page(AuditFilter(), 2, first[-1].id)
    assert ([record.id for record in first], total) == ([5, 4], 5)
    assert [record.id for record in then] == [3, 2]


def test_record_is_read_as_it_was_appended(store: AuditStore):
    (stored,) = store.append([entry(7, before=[1], count=3, request_id="r-1", address="::1", key_id="k")])
    assert store.page(AuditFilter(), 1, None)[0] == [stored]


def test_pruning_leaves_a_valid_chain(store: AuditStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit_module, "BATCH", 2)
    store.append([entry(number) for number in range(6)])
    assert store.prune(later(3), later(100)) == 2
    assert store.prune(later(3), later(100)) == 1
    assert store.prune(later(3), later(100)) == 0
    check = store.check()
    assert (check.is_unbroken, check.first_id, check.kept_since) == (True, 4, later(3))
    newest = store.page(AuditFilter(), 1, None)[0][0]
    assert (newest.entry.operation, newest.entry.actor, newest.entry.after) == (
        "prune",
        "service",
        {"removed": 1, "first_id": 4},
    )


def test_chain_continues_after_all_rows_were_pruned(store: AuditStore):
    store.append([entry(), entry()])
    store.prune(NOW + timedelta(days=1), later(0))
    store.append([entry()])
    check = store.check()
    assert (check.is_unbroken, check.first_id, check.last_id) == (True, 3, 4)


def test_rows_can_be_pruned_during_a_verification(store: AuditStore):
    store.append([entry(number) for number in range(6)])
    first = store.check(most=2)
    store.prune(later(4), later(100))
    rest = store.check(after=first.next_id)
    assert (rest.is_unbroken, rest.first_id) == (True, 5)
