from typing import Any

import pytest

from api.models.gpu import GPUStatus, Verdict
from api.models.reading import ECCErrors, FaultKind, GPUCondition, MemoryRepair, NVLink, ProcessKind
from api.models.reason import ReasonCode
from api.models.task import TaskType
from api.models.xids import RECOVERY_ACTIONS
from api.services.gpus.judgement import (
    DRAINING_SECONDS,
    FOREIGN_COMPUTE_MB,
    FOREIGN_GRAPHICS_MB,
    UNEXPLAINED_MB,
    is_stale,
    judge,
)
from tests.unit.services.builders import MONOTONIC, circumstances, identity, lost, process, reading, task, vitals

UNREADABLE = {"fault": FaultKind.UNREADABLE, "fault_reason": "error 999"}
SMALL = process(memory_mb=FOREIGN_COMPUTE_MB)
WINDOWS = process(memory_mb=FOREIGN_GRAPHICS_MB, kind=ProcessKind.GRAPHICS)
LARGE = process(memory_mb=FOREIGN_COMPUTE_MB + 1)
GAME = process(memory_mb=FOREIGN_GRAPHICS_MB + 1, kind=ProcessKind.GRAPHICS)
SECRETIVE = process(memory_mb=None)
PROHIBITED = GPUCondition(compute_mode="prohibited")

STATUSES: dict[str, tuple[dict[str, Any], dict[str, Any], GPUStatus]] = {
    "a free GPU": ({}, {}, GPUStatus.AVAILABLE),
    "nothing known of its processes": ({"processes": None}, {}, GPUStatus.UNKNOWN),
    "nothing known of its processes under its task": ({"processes": None}, {"task": task()}, GPUStatus.TRAINING),
    "a small process": ({"processes": (SMALL,)}, {}, GPUStatus.AVAILABLE),
    "a desktop": ({"processes": (WINDOWS,), "vitals": vitals(memory_used_mb=1100)}, {}, GPUStatus.AVAILABLE),
    "a process at work": ({"processes": (SMALL, LARGE)}, {}, GPUStatus.BUSY),
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
    "unknown memory under its task": ({"vitals": vitals(memory_used_mb=None)}, {"task": task()}, GPUStatus.TRAINING),
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


def test_lost_gpu_is_lost_whatever_else_is_so():
    judgement = judge(lost(read_monotonic=MONOTONIC - 999), circumstances(task=task(), problem="driver not loaded"))
    assert (judgement.status, judgement.stale, judgement.reason) == (GPUStatus.LOST, False, "off the bus")


@pytest.mark.parametrize("status", [status for status in GPUStatus if status is not GPUStatus.AVAILABLE])
def test_gpu_of_another_status_is_never_available(status: GPUStatus):
    cases = [judge(reading(**changes), circumstances(**around)) for changes, around, _ in STATUSES.values()]
    found = [case for case in [*cases, judge(lost(), circumstances())] if case.status is status]
    assert found
    assert not any(case.is_available for case in found)


def test_every_gpu_that_is_not_available_says_why():
    cases = [judge(reading(**changes), circumstances(**around)) for changes, around, _ in STATUSES.values()]
    assert all(case.reason for case in cases if not case.is_available)


def test_gpu_whose_processes_cannot_be_listed_says_why_it_is_not_offered():
    judgement = judge(reading(processes=None, processes_unlisted="no_permission"), circumstances())
    assert not judgement.is_available
    assert judgement.reason == "who uses it cannot be read (no_permission)"


def test_busy_gpu_names_the_process():
    reason = judge(reading(processes=(LARGE,)), circumstances()).reason
    assert reason == "pid 4711 (ada) holds 101 MB: python train.py"


def test_held_gpu_names_the_task():
    assert judge(reading(), circumstances(task=task("train_7"))).reason == "held by train_7"


@pytest.mark.parametrize(("age", "stale"), [(0.0, False), (10.0, False), (10.001, True)])
def test_expired_reading_is_stale(age: float, stale: bool):
    assert is_stale(reading(), MONOTONIC + age, 10.0) is stale


def test_gpu_that_was_never_read_is_stale():
    assert is_stale(reading(read_monotonic=None), MONOTONIC, 10.0)


HOT = {"identity": identity(temperature_slowdown=90)}
HEALTH: dict[str, tuple[dict[str, Any], dict[str, Any], Verdict]] = {
    "nothing wrong": ({}, {}, Verdict.HEALTHY),
    "nothing known of its condition": ({"condition": None}, {}, Verdict.HEALTHY),
    "an application's Xid": ({}, {"xids": (13, 31, 43)}, Verdict.HEALTHY),
    "an Xid of both kinds": ({}, {"xids": (94, 48)}, Verdict.UNHEALTHY),
    "a remapping that failed": (
        {"condition": GPUCondition(repair=MemoryRepair(remapped_rows_failure=True))},
        {},
        Verdict.UNHEALTHY,
    ),
    "a remapping that waits": (
        {"condition": GPUCondition(repair=MemoryRepair(remapped_rows_pending=True))},
        {},
        Verdict.DEGRADED,
    ),
    "a retirement that waits": (
        {"condition": GPUCondition(repair=MemoryRepair(retired_pages_pending=True))},
        {},
        Verdict.DEGRADED,
    ),
    "uncorrectable errors": (
        {"condition": GPUCondition(ecc=ECCErrors(uncorrected_volatile=3))},
        {},
        Verdict.DEGRADED,
    ),
    "corrected errors": (
        {"condition": GPUCondition(ecc=ECCErrors(corrected_volatile=3, uncorrected_volatile=0))},
        {},
        Verdict.HEALTHY,
    ),
    "heat at the threshold": ({**HOT, "vitals": vitals(temperature_gpu=90)}, {}, Verdict.DEGRADED),
    "heat below the threshold": ({**HOT, "vitals": vitals(temperature_gpu=89)}, {}, Verdict.HEALTHY),
    "heat without a threshold": ({"vitals": vitals(temperature_gpu=99)}, {}, Verdict.HEALTHY),
    "unknown heat": ({**HOT, "vitals": vitals(temperature_gpu=None)}, {}, Verdict.HEALTHY),
    "thermal slowdown": ({"vitals": vitals(throttle_reasons=("hw_thermal_slowdown",))}, {}, Verdict.DEGRADED),
    "power brake": ({"vitals": vitals(throttle_reasons=("hw_power_brake_slowdown",))}, {}, Verdict.DEGRADED),
    "the power cap": ({"vitals": vitals(throttle_reasons=("sw_power_cap",))}, {}, Verdict.HEALTHY),
    "a fault": (UNREADABLE, {}, Verdict.UNKNOWN),
    "a failing source": ({}, {"problem": "driver not loaded"}, Verdict.UNKNOWN),
    "a stale reading": ({"read_monotonic": MONOTONIC - 11}, {}, Verdict.UNKNOWN),
    "a hung kernel": ({}, {"xids": (109,)}, Verdict.UNHEALTHY),
    "a hung kernel of which the driver asks for nothing": (
        {"vitals": vitals(recovery_action=0)},
        {"xids": (109,), "last_xid_at": MONOTONIC - 1},
        Verdict.DEGRADED,
    ),
    "a hung kernel, read before it": (
        {"vitals": vitals(recovery_action=0)},
        {"xids": (109,), "last_xid_at": MONOTONIC + 1},
        Verdict.UNHEALTHY,
    ),
    "an NVLink error of linked GPUs": (
        {"condition": GPUCondition(nvlinks=(NVLink(0, True),))},
        {"xids": (74,)},
        Verdict.UNHEALTHY,
    ),
    "an NVLink error without links": ({}, {"xids": (74,)}, Verdict.DEGRADED),
    "one DMA fault": ({}, {"xids": (32,)}, Verdict.DEGRADED),
    "two DMA faults": ({}, {"xids": (32, 32)}, Verdict.UNHEALTHY),
    "two idle time-outs": ({}, {"xids": (8, 8)}, Verdict.HEALTHY),
    "three idle time-outs": ({}, {"xids": (8, 8, 8)}, Verdict.DEGRADED),
    "an Xid that no catalogue has": ({}, {"xids": (5000,)}, Verdict.DEGRADED),
    "nothing that the driver asks for": ({"vitals": vitals(recovery_action=0)}, {}, Verdict.HEALTHY),
    **{
        f"recovery action {number}": ({"vitals": vitals(recovery_action=number)}, {}, Verdict.UNHEALTHY)
        for number in (*RECOVERY_ACTIONS, 99)
    },
}


@pytest.mark.parametrize(("changes", "around", "verdict"), HEALTH.values(), ids=HEALTH.keys())
def test_health_with(changes: dict[str, Any], around: dict[str, Any], verdict: Verdict):
    health = judge(reading(**changes), circumstances(**around)).health
    assert health.verdict is verdict
    assert bool(health.reasons) == (verdict is not Verdict.HEALTHY)
    assert bool(health.suggested_actions) or verdict not in (Verdict.DEGRADED, Verdict.UNHEALTHY)


def test_only_a_gpu_that_answered_before_is_said_to_hang():
    old, never = {"read_monotonic": MONOTONIC - 11}, {"read_monotonic": None, "vitals": None}
    assert judge(reading(**old), circumstances()).health.suggested_actions
    assert not judge(reading(**never), circumstances()).health.suggested_actions


def test_what_the_driver_asks_for_is_said_with_what_to_do():
    health = judge(reading(vitals=vitals(recovery_action=1)), circumstances()).health
    assert health.reasons == ("the driver asks for a reset of the GPU (recovery action 1)",)
    assert "nvidia-smi --gpu-reset" in health.suggested_actions[0]


def test_lost_gpu_is_unhealthy_with_a_remedy():
    health = judge(lost(), circumstances()).health
    assert (health.verdict, health.reasons) == (Verdict.UNHEALTHY, ("off the bus",))
    assert health.suggested_actions


def test_degraded_gpu_that_can_be_had_says_what_is_wrong():
    judgement = judge(reading(), circumstances(xids=(94,)))
    assert judgement.is_available
    assert judgement.reason == "the driver reported Xid 94 (contained memory error)"


def test_action_for_two_findings_is_suggested_once():
    hot = reading(**HOT, vitals=vitals(temperature_gpu=95, throttle_reasons=("hw_thermal_slowdown",)))
    assert len(judge(hot, circumstances()).health.suggested_actions) == 1


def test_a_reason_has_a_code_with_what_stands_in_it():
    assert judge(reading(), circumstances(task=task("train_7"))).said == ReasonCode("held_by", {"task_id": "train_7"})
    assert judge(reading(), circumstances()).said is None
