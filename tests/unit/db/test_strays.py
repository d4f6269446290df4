"""What lives although no row tells of it."""

import pytest

from api.db.database import Database
from api.db.leases import ResourceHeld
from api.domain.lease import LeaseKind
from api.domain.training import AttemptStatus, TaskStatus
from api.training.stray_store import FoundAttempt, StrayStore
from tests.unit.db.builders import NODE, NOW, Stores, later, new_task

FOUND = FoundAttempt("t1.2", "t1", 2, "/data/t1/attempts/2", ("GPU-0", "GPU-1"), (0, 1))


@pytest.fixture
def strays(database: Database) -> StrayStore:
    return StrayStore(database)


def adopt(strays: StrayStore, found: FoundAttempt = FOUND) -> bool:
    return strays.adopt(found, NODE, "token", later(60), NOW)


def test_only_what_no_row_tells_of_is_unknown(stores: Stores, strays: StrayStore):
    attempt = stores.running()
    assert strays.unknown([attempt.uid, "t9.1"]) == {"t9.1"}


def test_attempt_that_has_ended_by_the_database_and_holds_nothing_is_unknown_when_it_lives(
    stores: Stores, strays: StrayStore
):
    attempt = stores.running()
    stores.finish(attempt, TaskStatus.FAILED)
    assert strays.unknown([attempt.uid]) == set()
    for lease in stores.attempts.leases(LeaseKind.GPU):
        stores.attempts.release_drained(lease)
    assert strays.unknown([attempt.uid]) == {attempt.uid}


def test_task_that_waits_takes_its_living_attempt_up_again(stores: Stores, strays: StrayStore):
    stores.tasks.create(new_task(), NOW, "ann")
    assert adopt(strays)
    attempt = stores.attempts.get("t1.2")
    assert (attempt.status, attempt.gpu_indices, attempt.number) == (AttemptStatus.SUBMITTED, (0, 1), 2)
    assert stores.status() is TaskStatus.STARTING
    assert stores.held() == {"GPU-0": "t1", "GPU-1": "t1"}
    assert stores.tasks.get_summary("t1").attempts == 2


def test_it_is_taken_up_once(stores: Stores, strays: StrayStore):
    stores.tasks.create(new_task(), NOW, "ann")
    assert adopt(strays)
    assert not adopt(strays)


def test_task_that_does_not_wait_takes_nothing_up(stores: Stores, strays: StrayStore):
    stores.finish(stores.running("t1", 5), TaskStatus.COMPLETED)
    assert not adopt(strays)
    assert not adopt(strays, FoundAttempt("t9.1", "t9", 1, "/data", ("GPU-0",), (0,)))


def test_gpu_that_somebody_else_holds_is_not_taken_from_them(stores: Stores, strays: StrayStore):
    stores.running("t3", 1)
    stores.tasks.create(new_task(), NOW, "ann")
    with pytest.raises(ResourceHeld):
        adopt(strays)
    assert stores.status() is TaskStatus.QUEUED


def test_gpus_of_a_stray_are_kept_until_nothing_of_it_lives(stores: Stores, strays: StrayStore):
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


def test_quarantine_gives_way_to_its_task(stores: Stores, strays: StrayStore):
    strays.quarantine(FOUND, "stray:x", "t1.2 lives on it", NOW)
    stores.tasks.create(new_task(), NOW, "ann")
    assert adopt(strays)
    assert strays.quarantined("stray:x") == []
