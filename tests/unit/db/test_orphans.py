"""Orphans: running attempts without a row."""

import pytest

from api.db.database import Database
from api.db.leases import ResourceHeld
from api.domain.lease import LeaseKind
from api.domain.training import AttemptStatus, TaskStatus
from api.training.orphan_store import FoundAttempt, OrphanStore
from tests.unit.db.builders import NODE, NOW, Stores, later, new_task

FOUND = FoundAttempt("t1.2", "t1", 2, "/data/t1/attempts/2", ("GPU-0", "GPU-1"), (0, 1))


@pytest.fixture
def strays(database: Database) -> OrphanStore:
    return OrphanStore(database)


def adopt(strays: OrphanStore, found: FoundAttempt = FOUND) -> bool:
    return strays.adopt(found, NODE, "token", later(60), NOW)


def test_only_attempts_without_a_row_are_orphans(stores: Stores, strays: OrphanStore):
    attempt = stores.running()
    assert strays.unknown([attempt.uid, "t9.1"]) == {"t9.1"}


def test_living_attempt_that_ended_in_the_database_and_holds_nothing_is_an_orphan(stores: Stores, strays: OrphanStore):
    attempt = stores.running()
    stores.finish(attempt, TaskStatus.FAILED)
    assert strays.unknown([attempt.uid]) == set()
    for lease in stores.attempts.leases(LeaseKind.GPU):
        stores.attempts.release_drained(lease)
    assert strays.unknown([attempt.uid]) == {attempt.uid}


def test_queued_task_adopts_its_living_attempt(stores: Stores, strays: OrphanStore):
    stores.tasks.create(new_task(), NOW, "ann")
    assert adopt(strays)
    attempt = stores.attempts.get("t1.2")
    assert (attempt.status, attempt.gpu_indices, attempt.number) == (AttemptStatus.SUBMITTED, (0, 1), 2)
    assert stores.status() is TaskStatus.STARTING
    assert stores.held() == {"GPU-0": "t1", "GPU-1": "t1"}
    assert stores.tasks.get_summary("t1").attempts == 2


def test_attempt_is_adopted_once(stores: Stores, strays: OrphanStore):
    stores.tasks.create(new_task(), NOW, "ann")
    assert adopt(strays)
    assert not adopt(strays)


def test_task_that_is_not_queued_adopts_nothing(stores: Stores, strays: OrphanStore):
    stores.finish(stores.running("t1", 5), TaskStatus.COMPLETED)
    assert not adopt(strays)
    assert not adopt(strays, FoundAttempt("t9.1", "t9", 1, "/data", ("GPU-0",), (0,)))


def test_gpu_held_by_another_task_is_not_taken(stores: Stores, strays: OrphanStore):
    stores.running("t3", 1)
    stores.tasks.create(new_task(), NOW, "ann")
    with pytest.raises(ResourceHeld):
        adopt(strays)
    assert stores.status() is TaskStatus.QUEUED


def test_gpus_of_an_orphan_are_held_until_it_has_ended(stores: Stores, strays: OrphanStore):
    stores.running("t3", 1)
    assert strays.quarantine(FOUND, "stray:x", "t1.2 lives on it", NOW) == ["GPU-0"]
    assert strays.quarantine(FOUND, "stray:x", "t1.2 lives on it", NOW) == []
    with pytest.raises(ResourceHeld):
        stores.claimed("t4", 0)
    assert stores.attempts.renew([], later(10**6), later(10**6)) == []
    assert [lease.resource for lease in strays.quarantined("stray:x")] == ["GPU-0"]
    assert strays.quarantined("stray:y") == []
    strays.release(["t1.2"])
    assert stores.held(LeaseKind.GPU) == {"GPU-1": "t3"}


def test_quarantine_ends_when_its_task_adopts_the_attempt(stores: Stores, strays: OrphanStore):
    strays.quarantine(FOUND, "stray:x", "t1.2 lives on it", NOW)
    stores.tasks.create(new_task(), NOW, "ann")
    assert adopt(strays)
    assert strays.quarantined("stray:x") == []
