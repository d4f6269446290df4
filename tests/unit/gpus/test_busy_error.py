from dataclasses import fields
from typing import Any

from api.domain.machines.gpu import GPUInfo, NodeGPUInfo
from api.domain.tasks.task import TaskType
from api.gpus.busy_error import describe_busy
from api.gpus.snapshot import GPUReading
from api.gpus.views import show_gpu
from tests.unit.builders import judged, process, reading, snapshot, task, uuid_of


def shown(gpu: GPUReading, **around: Any) -> GPUInfo:
    return show_gpu(snapshot(gpu), judged(gpu, **around))


def free(index: int) -> GPUInfo:
    return shown(reading(index))


def foreign(index: int) -> GPUInfo:
    return shown(reading(index, processes=(process(),)))


def held(index: int, by: str) -> GPUInfo:
    return shown(reading(index), task=task(by, TaskType.TRAINING, uuid_of(index)))


def test_gpu_held_by_a_task_is_named_first():
    data = describe_busy([foreign(0), held(1, "train_1"), free(2), free(3)], ())
    assert (data["gpu_id"], data["current_task"].task_id, data["available_gpus"]) == (1, "train_1", [2, 3])


def test_only_requested_gpus_are_named_by_index_or_uuid():
    gpus = [held(0, "train_1"), foreign(1), held(2, "train_2")]
    assert describe_busy(gpus, ["1"])["gpu_id"] == 1
    assert describe_busy(gpus, ["1"])["current_task"] is None
    assert describe_busy(gpus, [uuid_of(2)])["gpu_id"] == 2


def test_free_gpus_have_no_holder():
    assert describe_busy([free(0)], ["7"]) == {"gpu_id": None, "current_task": None, "available_gpus": [0]}


def test_gpus_of_a_fleet_are_named_by_node_and_index():
    there = NodeGPUInfo(**{each.name: getattr(foreign(0), each.name) for each in fields(GPUInfo)}, node="n2")
    assert describe_busy([free(0), there], ["n2:0"])["gpu_id"] == "n2:0"
    assert describe_busy([free(0), there], ["n3:0"])["gpu_id"] is None
