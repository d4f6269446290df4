"""Orphans: running attempts without a row."""

import pytest

from api.db.database import Database
from api.db.leases import ResourceHeld
from api.domain.machines.lease import LeaseKind
from api.domain.tasks.training import AttemptStatus, TaskStatus
from api.training.records.orphan_store import FoundAttempt, OrphanStore
from tests.unit.db.builders import NODE, NOW, Stores, later, new_task

FOUND = FoundAttempt("t1.2", "t1", 2, "/data/t1/attempts/2", ("GPU-0", "GPU-1"), (0, 1))


@pytest.fixture
def orphans(database: Database) -> OrphanStore:
    return OrphanStore(database)


def adopt(orphans: OrphanStore, found: FoundAttempt = FOUND) -> bool:
    return orphans.adopt(found, NODE, "token", later(60), NOW)


def test_only_attempts_without_a_row_are_orphans(stores: Stores, orphans: OrphanStore):
    attempt = stores.running()
    assert orphans.unknown([attempt.uid, "t9.1"]) == {"t9.1"}


def test_living_attempt_that_ended_in_the_database_and_holds_nothing_is_an_orphan(stores: Stores, orphans: OrphanStore):
    attempt = stores.running()
    stores.finish(attempt, TaskStatus.FAILED)
    assert orphans.unknown([attempt.uid]) == set()
    for lease in stores.attempts.leases(LeaseKind.GPU):
        stores.attempts.release_drained(lease)
    assert orphans.unknown([attempt.uid]) == {attempt.uid}


def test_queued_task_adopts_its_living_attempt(stores: Stores, orphans: OrphanStore):
    stores.tasks.create(new_task(), NOW, "ann")
    assert adopt(orphans)
    attempt = stores.attempts.get("t1.2")
    assert (attempt.status, attempt.gpu_indices, attempt.number) == (AttemptStatus.SUBMITTED, (0, 1), 2)
    assert stores.status() is TaskStatus.STARTING
    assert stores.held() == {"GPU-0": "t1", "GPU-1": "t1"}
    assert stores.tasks.get_summary("t1").attempts == 2


def test_attempt_is_adopted_once(stores: Stores, orphans: OrphanStore):
    stores.tasks.create(new_task(), NOW, "ann")
    assert adopt(orphans)
    assert not adopt(orphans)


def test_task_that_is_not_queued_adopts_nothing(stores: Stores, orphans: OrphanStore):
    stores.finish(stores.running("t1", 5), TaskStatus.COMPLETED)
    assert not adopt(orphans)
    assert not adopt(orphans, FoundAttempt("t9.1", "t9", 1, "/data", ("GPU-0",), (0,)))


def test_gpu_held_by_another_task_is_not_taken(stores: Stores, orphans: OrphanStore):
    stores.running("t3", 1)
    stores.tasks.create(new_task(), NOW, "ann")
    with pytest.raises(ResourceHeld):
        adopt(orphans)
    assert stores.status() is TaskStatus.QUEUED


def test_gpus_of_an_orphan_are_held_until_it_has_ended(stores: Stores, orphans: OrphanStore):
    stores.running("t3", 1)
    assert orphans.quarantine(FOUND, "stray:x", "t1.2 lives on it", NOW) == ["GPU-0"]
    assert orphans.quarantine(FOUND, "stray:x", "t1.2 lives on it", NOW) == []
    with pytest.raises(ResourceHeld):
        stores.claimed("t4", 0)
    assert stores.attempts.renew([], later(10**6), later(10**6)) == []
    assert [lease.resource for lease in orphans.quarantined("stray:x")] == ["GPU-0"]
    assert orphans.quarantined("stray:y") == []
    orphans.release(["t1.2"])
    assert stores.held(LeaseKind.GPU) == {"GPU-1": "t3"}


def test_quarantine_ends_when_its_task_adopts_the_attempt(stores: Stores, orphans: OrphanStore):
    orphans.quarantine(FOUND, "stray:x", "t1.2 lives on it", NOW)
    stores.tasks.create(new_task(), NOW, "ann")
    assert adopt(orphans)
    assert orphans.quarantined("stray:x") == []
