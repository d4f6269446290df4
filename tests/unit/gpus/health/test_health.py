from typing import Any

import pytest

from api.domain.machines.gpu import Verdict
from api.domain.machines.reading import ECCErrors, FaultKind, GPUCondition, MemoryRepair, NVLink
from api.gpus.health.judgement import judge
from api.gpus.health.xids import RECOVERY_ACTIONS
from tests.unit.builders import MONOTONIC, circumstances, identity, lost, reading, vitals

HOT = {"identity": identity(temperature_slowdown=90)}
HEALTH: dict[str, tuple[dict[str, Any], dict[str, Any], Verdict]] = {
    "no problem": ({}, {}, Verdict.HEALTHY),
    "unknown condition": ({"condition": None}, {}, Verdict.HEALTHY),
    "an application's Xid": ({}, {"xids": (13, 31, 43)}, Verdict.HEALTHY),
    "an Xid of both kinds": ({}, {"xids": (94, 48)}, Verdict.UNHEALTHY),
    "a failed remapping": (
        {"condition": GPUCondition(repair=MemoryRepair(remapped_rows_failure=True))},
        {},
        Verdict.UNHEALTHY,
    ),
    "a pending remapping": (
        {"condition": GPUCondition(repair=MemoryRepair(remapped_rows_pending=True))},
        {},
        Verdict.DEGRADED,
    ),
    "a pending retirement": (
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
    "a fault": ({"fault": FaultKind.UNREADABLE, "fault_reason": "error 999"}, {}, Verdict.UNKNOWN),
    "a failing source": ({}, {"problem": "driver not loaded"}, Verdict.UNKNOWN),
    "a stale reading": ({"read_monotonic": MONOTONIC - 11}, {}, Verdict.UNKNOWN),
    "a hung kernel": ({}, {"xids": (109,)}, Verdict.UNHEALTHY),
    "a hung kernel without a recovery action": (
        {"vitals": vitals(recovery_action=0)},
        {"xids": (109,), "last_xid_at": MONOTONIC - 1},
        Verdict.DEGRADED,
    ),
    "a hung kernel after the reading": (
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
    "no recovery action": ({"vitals": vitals(recovery_action=0)}, {}, Verdict.HEALTHY),
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


def test_only_a_gpu_that_answered_before_counts_as_hanging():
    old, never = {"read_monotonic": MONOTONIC - 11}, {"read_monotonic": None, "vitals": None}
    assert judge(reading(**old), circumstances()).health.suggested_actions
    assert not judge(reading(**never), circumstances()).health.suggested_actions


def test_recovery_action_is_reported_with_advice():
    health = judge(reading(vitals=vitals(recovery_action=1)), circumstances()).health
    assert health.reasons == ("the driver requests a reset of the GPU (recovery action 1)",)
    assert "nvidia-smi --gpu-reset" in health.suggested_actions[0]


def test_lost_gpu_is_unhealthy_with_a_remedy():
    health = judge(lost(), circumstances()).health
    assert (health.verdict, health.reasons) == (Verdict.UNHEALTHY, ("off the bus",))
    assert health.suggested_actions


def test_action_for_two_findings_is_suggested_once():
    hot = reading(**HOT, vitals=vitals(temperature_gpu=95, throttle_reasons=("hw_thermal_slowdown",)))
    assert len(judge(hot, circumstances()).health.suggested_actions) == 1
