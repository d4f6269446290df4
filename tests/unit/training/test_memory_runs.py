from api.domain.machines.lease import LeaseKind
from api.domain.tasks.measured_memory import MemoryFacts, MemoryRun, MemorySize
from api.domain.tasks.training import TaskStatus
from api.training.measured_memory import MemoryRunStore
from tests.unit.db.builders import NOW, Stores, new_attempt, new_task

FACTS = MemoryFacts("flux", "flux-dev", {"method": "lora", "compile": False}, (MemorySize(512, 1, 1),), 32, 8)


def run(stores: Stores, task_id: str, gpu: int, memory: MemoryRun | None) -> None:
    stores.tasks.create(new_task(task_id), NOW, "ann")
    attempt = stores.attempts.claim(new_attempt(task_id, gpu), NOW)
    stores.finish(attempt, TaskStatus.COMPLETED, memory=memory)


def test_memory_of_attempts_is_found_by_model_and_variant(stores: Stores):
    run(stores, "t1", 0, MemoryRun(FACTS, 20_000))
    run(stores, "t2", 1, None)
    run(stores, "t3", 2, MemoryRun(FACTS, 21_000))
    store = MemoryRunStore(stores.database)
    assert store.find("flux", "flux-dev") == [MemoryRun(FACTS, 21_000), MemoryRun(FACTS, 20_000)]
    assert store.find("flux", "flux-schnell") == store.find("flux", None) == []


def test_memory_run_survives_its_task(stores: Stores):
    run(stores, "t1", 0, MemoryRun(FACTS, 20_000))
    (lease,) = stores.attempts.leases(LeaseKind.GPU)
    stores.attempts.release_drained(lease)
    stores.tasks.delete("t1", NOW)
    assert len(MemoryRunStore(stores.database).find("flux", "flux-dev")) == 1
