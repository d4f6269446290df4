from typing import Any

import pytest

from api.domain.machines.gpu import GPUStatus
from api.domain.machines.reading import FaultKind, GPUCondition, ProcessKind
from api.domain.reason import Reason, ReasonCode
from api.domain.tasks.task import TaskType
from api.gpus.health.circumstances import EngineStatus
from api.gpus.health.judgement import DRAINING_SECONDS, is_stale, judge
from api.gpus.sharing.foreign_use import FOREIGN_COMPUTE_MB, FOREIGN_GRAPHICS_MB, UNEXPLAINED_MB
from tests.unit.builders import MONOTONIC, circumstances, lost, process, reading, task, vitals

UNREADABLE = {"fault": FaultKind.UNREADABLE, "fault_reason": "error 999"}
SMALL = process(memory_mb=FOREIGN_COMPUTE_MB)
WINDOWS = process(memory_mb=FOREIGN_GRAPHICS_MB, kind=ProcessKind.GRAPHICS)
LARGE = process(memory_mb=FOREIGN_COMPUTE_MB + 1)
GAME = process(memory_mb=FOREIGN_GRAPHICS_MB + 1, kind=ProcessKind.GRAPHICS)
SECRETIVE = process(memory_mb=None)
PROHIBITED = GPUCondition(compute_mode="prohibited")

STATUSES: dict[str, tuple[dict[str, Any], dict[str, Any], GPUStatus]] = {
    "a free GPU": ({}, {}, GPUStatus.AVAILABLE),
    "unknown processes": ({"processes": None}, {}, GPUStatus.UNKNOWN),
    "unknown processes with a task": ({"processes": None}, {"task": task()}, GPUStatus.TRAINING),
    "a small process": ({"processes": (SMALL,)}, {}, GPUStatus.AVAILABLE),
    "a desktop": ({"processes": (WINDOWS,), "vitals": vitals(memory_used_mb=1100)}, {}, GPUStatus.AVAILABLE),
    "a busy process": ({"processes": (SMALL, LARGE)}, {}, GPUStatus.BUSY),
    "a game": ({"processes": (GAME,)}, {}, GPUStatus.BUSY),
    "unexplained memory": ({"vitals": vitals(memory_used_mb=UNEXPLAINED_MB + 1)}, {}, GPUStatus.BUSY),
    "little unexplained memory": ({"vitals": vitals(memory_used_mb=UNEXPLAINED_MB)}, {}, GPUStatus.AVAILABLE),
    "unified memory in use": (
        {"vitals": vitals(memory_used_mb=20_000, memory_unified=True)},
        {},
        GPUStatus.AVAILABLE,
    ),
    "a process of unknown memory on an idle GPU": ({"processes": (SECRETIVE,)}, {}, GPUStatus.AVAILABLE),
    "a process of unknown memory on a full GPU": (
        {"processes": (SECRETIVE,), "vitals": vitals(memory_used_mb=9000)},
        {},
        GPUStatus.BUSY,
    ),
    "unknown memory": (
        {"vitals": vitals(memory_used_mb=None, memory_free_mb=None, memory_total_mb=None)},
        {},
        GPUStatus.UNKNOWN,
    ),
    "unknown memory with a task": ({"vitals": vitals(memory_used_mb=None)}, {"task": task()}, GPUStatus.TRAINING),
    "a training task": ({}, {"task": task()}, GPUStatus.TRAINING),
    "a training task with its process": ({"processes": (LARGE,)}, {"task": task()}, GPUStatus.TRAINING),
    "a preprocessing task": ({}, {"task": task("p", TaskType.PREPROCESSING)}, GPUStatus.PREPROCESSING),
    "an external task": ({}, {"task": task("e", TaskType.EXTERNAL)}, GPUStatus.BUSY),
    "a download task": ({}, {"task": task("d", TaskType.DOWNLOAD)}, GPUStatus.BUSY),
    "memory after its task": ({"processes": (LARGE,)}, {"draining_for": 1.0}, GPUStatus.DRAINING),
    "memory long after its task": ({"processes": (LARGE,)}, {"draining_for": DRAINING_SECONDS}, GPUStatus.BUSY),
    "no memory after its task": ({}, {"draining_for": 1.0}, GPUStatus.AVAILABLE),
    "compute mode prohibited": ({"condition": PROHIBITED}, {}, GPUStatus.BUSY),
    "a critical Xid": ({}, {"xids": (79,)}, GPUStatus.UNKNOWN),
    "a warning Xid": ({}, {"xids": (94,)}, GPUStatus.AVAILABLE),
    "a critical Xid under its task": ({}, {"xids": (79,), "task": task()}, GPUStatus.TRAINING),
    "a stale reading": ({"read_monotonic": MONOTONIC - 10.1}, {}, GPUStatus.UNKNOWN),
    "a stale reading of a held GPU": ({"read_monotonic": MONOTONIC - 10.1}, {"task": task()}, GPUStatus.UNKNOWN),
    "no reading": ({"read_monotonic": None, "vitals": None}, {}, GPUStatus.UNKNOWN),
    "a fault": (UNREADABLE, {}, GPUStatus.UNKNOWN),
    "a failing source": ({}, {"problem": "driver not loaded"}, GPUStatus.UNKNOWN),
}


@pytest.mark.parametrize(("changes", "around", "status"), STATUSES.values(), ids=STATUSES.keys())
def test_status_with(changes: dict[str, Any], around: dict[str, Any], status: GPUStatus):
    assert judge(reading(**changes), circumstances(**around)).status is status


def test_lost_gpu_is_lost_whatever_the_circumstances():
    judgement = judge(lost(read_monotonic=MONOTONIC - 999), circumstances(task=task(), problem="driver not loaded"))
    assert (judgement.status, judgement.stale, judgement.reason) == (GPUStatus.LOST, False, "off the bus")


@pytest.mark.parametrize("status", [status for status in GPUStatus if status is not GPUStatus.AVAILABLE])
def test_gpu_of_another_status_is_never_available(status: GPUStatus):
    cases = [judge(reading(**changes), circumstances(**around)) for changes, around, _ in STATUSES.values()]
    found = [case for case in [*cases, judge(lost(), circumstances())] if case.status is status]
    assert found
    assert not any(case.is_available for case in found)


def test_every_unavailable_gpu_has_a_reason():
    cases = [judge(reading(**changes), circumstances(**around)) for changes, around, _ in STATUSES.values()]
    assert all(case.reason for case in cases if not case.is_available)


def test_unlistable_processes_are_the_reason_for_an_unknown_gpu():
    judgement = judge(reading(processes=None, processes_unlisted="no_permission"), circumstances())
    assert not judgement.is_available
    assert judgement.reason == "the processes on it cannot be read (no_permission)"


def test_busy_gpu_names_the_process():
    reason = judge(reading(processes=(LARGE,)), circumstances()).reason
    assert reason == "pid 4711 (ada) holds 101 MB: python train.py"


def test_held_gpu_names_the_task():
    assert judge(reading(), circumstances(task=task("train_7"))).reason == "held by train_7"


@pytest.mark.parametrize(("age", "stale"), [(0.0, False), (10.0, False), (10.001, True)])
def test_expired_reading_is_stale(age: float, stale: bool):
    assert is_stale(reading(), MONOTONIC + age, 10.0) is stale


def test_unread_gpu_is_stale():
    assert is_stale(reading(read_monotonic=None), MONOTONIC, 10.0)


def test_degraded_available_gpu_has_a_reason():
    judgement = judge(reading(), circumstances(xids=(94,)))
    assert judgement.is_available
    assert judgement.reason == "the driver reported Xid 94 (contained memory error)"


def test_reason_has_a_code_with_its_parameters():
    assert judge(reading(), circumstances(task=task("train_7"))).said == ReasonCode("held_by", {"task_id": "train_7"})
    assert judge(reading(), circumstances()).said is None


def test_engines_status_applies_unless_our_task_holds_the_gpu():
    reason = Reason.of("Slurm's job {job} of {user} has it", "slurm_job", job=3, user="eve")
    status = EngineStatus(GPUStatus.BUSY, reason)
    found = judge(reading(), circumstances(engine=status))
    assert (found.status, found.reason) == (GPUStatus.BUSY, "Slurm's job 3 of eve has it")
    assert judge(reading(), circumstances(engine=status, task=task())).status is GPUStatus.TRAINING
