"""Leases: draining, release, renewal and expiry."""

import pytest

from api.db import leases
from api.domain.machines.lease import Lease, LeaseKind, LeaseState
from api.domain.tasks.task import RegisteredTask, TaskType
from api.domain.tasks.training import TaskStatus
from api.gpus.sharing.registration_store import DatabaseRegistrations
from api.util.clock import FakeClock
from tests.unit.db.builders import NODE, NOW, Stores, later, new_attempt, new_task


def of_gpus(stores: Stores) -> list[Lease]:
    return stores.attempts.leases(LeaseKind.GPU)


def test_leases_are_listed_by_resource_and_kind(stores: Stores):
    stores.claimed("t1", 1, 0, caches=("/cache",), master_port=29_500)
    assert [lease.resource for lease in stores.attempts.leases()] == ["/cache", "GPU-0", "GPU-1", f"port:{NODE}:29500"]
    assert [lease.resource for lease in of_gpus(stores)] == ["GPU-0", "GPU-1"]


def test_lease_has_its_holder_start_and_expiry(stores: Stores):
    attempt = stores.claimed("t1", 0, expires_at=later(30))
    (lease,) = of_gpus(stores)
    assert lease == Lease(
        "GPU-0", LeaseKind.GPU, "t1", attempt.uid, attempt.token, LeaseState.HELD, NOW, expires_at=later(30)
    )


# -- draining ----------------------------------------------------------------------------------------------------------


def test_end_drains_the_gpus_and_releases_everything_else(stores: Stores):
    attempt = stores.claimed("t1", 0, 1, caches=("/cache",))
    stores.finish(attempt, TaskStatus.FAILED)
    left = stores.attempts.leases()
    assert [lease.resource for lease in left] == ["GPU-0", "GPU-1"]
    assert {(lease.state, lease.draining_since, lease.expires_at) for lease in left} == {
        (LeaseState.DRAINING, NOW, None)
    }


def test_draining_gpu_cannot_be_claimed(stores: Stores):
    stores.finish(stores.claimed("t1", 0), TaskStatus.FAILED)
    stores.tasks.create(new_task("t2"), NOW, "ann")
    with pytest.raises(leases.ResourceHeld) as refused:
        stores.attempts.claim(new_attempt("t2", 0), NOW)
    assert refused.value.held == {"GPU-0": "t1"}


def test_drained_gpu_is_released_alone_and_once(stores: Stores):
    stores.finish(stores.claimed("t1", 0, 1), TaskStatus.FAILED)
    first, second = of_gpus(stores)
    assert stores.attempts.release_drained(first)
    assert not stores.attempts.release_drained(first)
    assert of_gpus(stores) == [second]


def test_gpu_claimed_again_is_not_released_by_its_last_holder(stores: Stores):
    stores.finish(stores.claimed("t1", 0), TaskStatus.FAILED)
    (old,) = of_gpus(stores)
    stores.attempts.release_drained(old)
    stores.claimed("t2", 0)
    assert not stores.attempts.release_drained(old)
    assert stores.held(LeaseKind.GPU) == {"GPU-0": "t2"}


def test_held_gpu_is_not_released_as_drained(stores: Stores):
    stores.claimed("t1", 0)
    (lease,) = of_gpus(stores)
    assert not stores.attempts.release_drained(lease)
    assert of_gpus(stores) == [lease]


def test_end_keeps_the_leases_of_others(stores: Stores):
    attempt = stores.claimed("t1", 0, caches=("/a",))
    stores.claimed("t2", 1, caches=("/b",))
    before = [lease for lease in stores.attempts.leases() if lease.task_id == "t2"]
    stores.finish(attempt, TaskStatus.FAILED)
    assert [lease for lease in stores.attempts.leases() if lease.task_id == "t2"] == before


def test_caches_are_released_early_and_once(stores: Stores):
    attempt = stores.claimed("t1", 0, caches=("/a", "/b"))
    assert stores.attempts.release_cache(attempt)
    assert not stores.attempts.release_cache(attempt)
    assert stores.held(LeaseKind.CACHE) == {}
    assert stores.held(LeaseKind.GPU) == {"GPU-0": "t1"}


# -- expiry ------------------------------------------------------------------------------------------------------------


def test_renewal_moves_the_expiry_of_held_leases(stores: Stores):
    first, second = stores.claimed("t1", 0), stores.claimed("t2", 1)
    stores.claimed("t3", 2)
    stores.finish(second, TaskStatus.FAILED)
    assert stores.attempts.renew([first, second], later(500), later(100)) == []
    assert {lease.resource: lease.expires_at for lease in of_gpus(stores)} == {
        "GPU-0": later(500),
        "GPU-1": None,
        "GPU-2": later(60),
    }


def test_lease_of_an_open_attempt_never_expires(stores: Stores):
    stores.claimed("t1", 0)
    stores.running("t2", 1)
    stores.stopping("t3", 2)
    stores.claimed("t4", 3, node="node-b")
    before = stores.attempts.leases()
    assert stores.attempts.renew([], later(10**6), later(10**6)) == []
    assert stores.attempts.leases() == before


def test_lease_of_an_ended_attempt_drains_and_never_expires(stores: Stores):
    stores.finish(stores.claimed("t1", 0), TaskStatus.FAILED)
    assert stores.attempts.renew([], later(10**6), later(10**6)) == []
    assert stores.held() == {"GPU-0": "t1"}


def test_registration_never_expires(stores: Stores):
    registered = RegisteredTask("ext", TaskType.EXTERNAL, ("GPU-0",), NOW)
    DatabaseRegistrations(stores.database, NODE, FakeClock()).claim(registered)
    assert stores.attempts.renew([], later(10**6), later(10**6)) == []
    assert stores.held() == {"GPU-0": "ext"}


def test_lease_that_cannot_be_renewed_expires(stores: Stores):
    holder = leases.Holder("gone", "token-of-nobody", "gone.1", later(60))
    with stores.database.write() as connection:
        leases.claim(connection, [(LeaseKind.GPU, "GPU-0"), (LeaseKind.CACHE, "/c")], holder, NOW)
    stores.claimed("t1", 1)
    assert stores.attempts.renew([], later(60), later(60)) == []
    assert [lease.resource for lease in stores.attempts.renew([], later(61), later(61))] == ["/c", "GPU-0"]
    assert stores.held(LeaseKind.GPU) == {"GPU-1": "t1"}


def test_resource_named_twice_is_claimed_once(stores: Stores):
    with stores.database.write() as connection:
        leases.claim(connection, [(LeaseKind.GPU, "GPU-0")] * 2, leases.Holder("a", "token"), NOW)
    assert stores.held() == {"GPU-0": "a"}
