"""The cluster runs an attempt on other GPUs than claimed: the leases follow."""

from api.db import leases
from api.domain.machines.lease import LeaseKind
from api.domain.tasks.training import TaskStatus
from api.training.records.attempt_store import AttemptLocations
from tests.unit.db.builders import NODE, NOW, Stores, new_attempt, new_task


def claimed(stores: Stores, task_id: str, *gpus: int) -> str:
    stores.tasks.create(new_task(task_id), NOW, "ann")
    return stores.attempts.claim(new_attempt(task_id, *gpus), NOW).uid


def holders(stores: Stores) -> dict[str, str]:
    return {lease.resource: lease.task_id for lease in stores.attempts.leases(LeaseKind.GPU)}


def note(stores: Stores, uid: str, node: str, *gpus: int) -> bool:
    attempt = stores.attempts.get(uid)
    return AttemptLocations(stores.database).record(attempt, node, [f"GPU-{gpu}" for gpu in gpus], gpus, NOW)


def test_attempt_holds_its_actual_gpus_instead_of_the_claimed_ones(stores: Stores):
    uid = claimed(stores, "t1", 0, 1)
    assert note(stores, uid, "n2", 1, 3)
    assert holders(stores) == {"GPU-1": "t1", "GPU-3": "t1"}
    attempt = stores.attempts.get(uid)
    assert (attempt.node, attempt.gpu_uuids, attempt.gpu_indices) == ("n2", ("GPU-1", "GPU-3"), (1, 3))
    assert all(lease.expires_at is not None for lease in stores.attempts.leases(LeaseKind.GPU))


def test_two_attempts_exchange_their_gpus(stores: Stores):
    first, second = claimed(stores, "t1", 0), claimed(stores, "t2", 1)
    assert note(stores, first, NODE, 1)
    assert holders(stores) == {"GPU-0": "t2", "GPU-1": "t1"}
    assert stores.attempts.get(second).gpu_uuids == ("GPU-0",)
    assert note(stores, second, NODE, 0)
    assert holders(stores) == {"GPU-0": "t2", "GPU-1": "t1"}


def test_ended_attempt_gets_no_gpu(stores: Stores):
    attempt = stores.running("t1", 0)
    stores.finish(attempt, TaskStatus.FAILED)
    assert not note(stores, attempt.uid, NODE, 1)
    assert "GPU-1" not in holders(stores)


def test_draining_gpu_of_an_ended_attempt_is_taken_over(stores: Stores):
    stores.finish(stores.running("t1", 0), TaskStatus.FAILED)
    uid = claimed(stores, "t2", 1)
    assert note(stores, uid, NODE, 0)
    assert holders(stores) == {"GPU-0": "t2"}


def test_gpu_of_an_external_program_is_not_taken(stores: Stores):
    uid = claimed(stores, "t1", 0)
    with stores.database.write() as connection:
        leases.claim(connection, [(LeaseKind.GPU, "GPU-1")], leases.Holder("outside", "token"), NOW)
    assert not note(stores, uid, NODE, 1)
    assert holders(stores) == {"GPU-0": "t1", "GPU-1": "outside"}
    assert stores.attempts.get(uid).gpu_uuids == ("GPU-0",)
