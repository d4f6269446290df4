"""Tasks that hold GPUs, on a service with a fake source."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from api.domain.machines.gpu import GPUStatus
from api.domain.machines.reading import FaultKind
from api.domain.tasks.task import TaskType
from api.errors import GPUBusy, GPULost
from api.gpus.service import GPUService
from api.gpus.sources.source import FakeSource, GPUFault

Sweep = Callable[[], None]
LOST = GPUFault(FaultKind.LOST, "fell off the bus")


def test_busy_error_contains_the_holder_and_the_free_gpus(service: GPUService, sweep: Sweep, source: FakeSource):
    sweep()
    service.tasks.register([0], TaskType.TRAINING, "mine")
    with pytest.raises(GPUBusy) as busy:
        service.tasks.register([1, 0], TaskType.TRAINING)
    data = busy.value.data
    assert (data["held_by"], data["available_gpus"]) == ({source.identities[0].uuid: "mine"}, [1])
    assert (data["gpu_id"], data["current_task"].task_id) == (0, "mine")
    assert busy.value.detail == "GPU 0 is held by mine."


def test_lost_gpu_is_neither_available_nor_holdable(service: GPUService, source: FakeSource, sweep: Sweep):
    sweep()
    source.faults[0] = LOST
    sweep()
    with pytest.raises(GPULost, match="fell off the bus"):
        service.tasks.register([0], TaskType.TRAINING)
    assert [gpu.gpu_id for gpu in service.get_available_gpus().available_gpus] == [1]


def test_task_on_a_lost_gpu_can_be_released(service: GPUService, source: FakeSource, sweep: Sweep):
    sweep()
    service.tasks.register([0], TaskType.TRAINING, "mine")
    source.faults[0] = LOST
    sweep()
    assert service.tasks.release("mine").task_id == "mine"


def test_task_keeps_its_gpu_when_the_index_changes(service: GPUService, source: FakeSource, sweep: Sweep):
    sweep()
    service.tasks.register([1], TaskType.TRAINING, "mine")
    first, second = source.identities
    source.identities = [replace(second, index=0), replace(first, index=1)]
    source.generation += 1
    sweep()
    assert service.tasks.get("mine").gpu_ids == (0,)
    assert [gpu.status for gpu in service.get_all_gpus()] == [GPUStatus.TRAINING, GPUStatus.AVAILABLE]


def test_tasks_are_counted_by_type(service: GPUService, sweep: Sweep):
    sweep()
    service.tasks.register([0], TaskType.TRAINING)
    service.tasks.register([1], TaskType.EXTERNAL)
    assert service.tasks.count() == {TaskType.TRAINING: 1, TaskType.EXTERNAL: 1}


def test_concurrent_claims_give_each_gpu_one_holder(service: GPUService, sweep: Sweep):
    sweep()
    won: list[str] = []

    def claim(number: int) -> None:
        try:
            service.tasks.register([number % 2], TaskType.TRAINING, f"t{number}")
        except GPUBusy:
            return
        won.append(f"t{number}")

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 2
    held = [gpu.current_task.task_id for gpu in service.get_all_gpus() if gpu.current_task]
    assert sorted(held) == sorted(won)
