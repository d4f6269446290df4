"""Memory: by both versions of its function, of boards that share the host's, and without permission."""

import psutil
import pytest

from tests.nvml.full_gpus import full
from tests.nvml.probe import Probe
from tests.standin import StandIn


@pytest.mark.parametrize("code", [3, 13, 25])
def test_memory_is_read_by_version_1_if_version_2_fails(gpus: StandIn, probe: Probe, code: int) -> None:
    gpus.fail("nvmlDeviceGetMemoryInfo_v2", code, 0)
    details = probe.details()
    # Version 1 counts reserved memory as used.
    assert (details["memory"]["total"], details["memory"]["used"], details["memory"]["free"]) == (40_000, 1110, 38_890)
    assert details["memory"]["reserved"] is None
    assert details["unavailable"] == {"memory.reserved": "unsupported"}


def test_memory_without_permission_is_null_with_the_reason(gpus: StandIn, probe: Probe) -> None:
    gpus.fail("nvmlDeviceGetMemoryInfo_v2", 4, 0)
    gpus.fail("nvmlDeviceGetMemoryInfo", 4, 0)
    details = probe.details()
    fields = ("total", "used", "free", "reserved", "utilization", "total_gb", "free_gb")
    assert {name: details["memory"][name] for name in fields} == dict.fromkeys(fields)
    assert details["unavailable"] == {f"memory.{name}": "no_permission" for name in fields}


@pytest.fixture
def unified(gpus: StandIn) -> StandIn:
    """The first GPU shares the host's memory, like GB10 and Thor."""
    gpus.set(0, "name", "NVIDIA GB10")
    gpus.fail("nvmlDeviceGetMemoryInfo_v2", 3, 0)
    gpus.fail("nvmlDeviceGetMemoryInfo", 3, 0)
    return gpus


def test_unified_memory_is_the_hosts_and_marked_so(unified: StandIn, probe: Probe) -> None:
    memory = probe.details()["memory"]
    assert (memory["unified"], memory["total"]) == (True, psutil.virtual_memory().total >> 20)


def test_unified_memory_adds_up(unified: StandIn, probe: Probe) -> None:
    memory = probe.details()["memory"]
    assert abs(memory["used"] + memory["free"] - memory["total"]) <= 1


def test_unified_memory_has_no_reserved_part_with_a_reason(unified: StandIn, probe: Probe) -> None:
    details = probe.details()
    assert details["memory"]["reserved"] is None
    assert details["unavailable"] == {"memory.reserved": "unified_memory"}


def test_gpu_with_unified_memory_is_available_although_the_host_uses_much(unified: StandIn, probe: Probe) -> None:
    unified.set(0, "remapped_rows_failure", 0)
    assert probe.details()["is_available"]


def test_discrete_board_without_memory_values_does_not_show_the_hosts(gpus: StandIn, probe: Probe) -> None:
    gpus.fail("nvmlDeviceGetMemoryInfo_v2", 3, 0)
    gpus.fail("nvmlDeviceGetMemoryInfo", 3, 0)
    details = probe.details()
    assert (details["memory"]["unified"], details["memory"]["total"], details["is_available"]) == (False, None, False)
    assert details["unavailable"]["memory.total"] == "unsupported"
    assert "memory" in details["status_reason"]


def test_implausible_memory_is_not_offered(gpus: StandIn, probe: Probe) -> None:
    gpus.set(0, "memory_used", (1 << 64) - 1)
    text = probe.metrics()
    used = [
        line
        for line in text.splitlines()
        if line.startswith("nvidia_smi_memory_used_bytes{") and full(0)["uuid"] in line
    ]
    assert used == []
