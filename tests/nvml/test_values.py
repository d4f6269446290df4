"""Values at the ends of their ranges: zero is valid, impossible values are null."""

import pytest

from tests.nvml.full_gpus import flat, full
from tests.nvml.probe import Probe
from tests.standin import StandIn

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("utilization_gpu", 808_334_905, "utilization.gpu"),
        ("utilization_memory", 101, "utilization.memory"),
        ("utilization_encoder", 808_334_905, "utilization.encoder"),
        ("utilization_decoder", 4_294_967_295, "utilization.decoder"),
        ("temperature", 255, "temperature.gpu"),
        ("memory_temperature", 4_294_967_295, "temperature.memory"),
        ("threshold_slowdown", 4_294_967_295, "temperature.slowdown"),
        ("threshold_shutdown", 0, "temperature.shutdown"),
        ("power_usage", 4_294_967_295, "power.current"),
        ("power_limit_default", 4_294_967_295, "power.default_limit"),
        ("power_limit_min", 4_294_967_295, "power.min_limit"),
        ("power_limit_max", 4_294_967_295, "power.max_limit"),
        ("power_limit_enforced", 4_294_967_295, "power.limit"),
        ("energy", (1 << 64) - 1, "power.energy_joules"),
        ("fan_speed", 4_294_967_295, "fan_speed"),
        ("performance_state", 32, "pstate"),
        ("clock_sm", 4_294_967_295, "clocks.current.sm"),
        ("clock_memory_max", 4_294_967_295, "clocks.max.memory"),
        ("memory_total", (1 << 64) - 1, "memory.total"),
        ("memory_used", (1 << 64) - 1, "memory.used"),
        ("memory_free", (1 << 64) - 1, "memory.free"),
        ("memory_reserved", 1 << 63, "memory.reserved"),
        ("pcie_generation", 4_294_967_295, "pcie.generation"),
        ("pcie_generation_max", 4_294_967_295, "pcie.max_generation"),
        ("pcie_width", 4_294_967_295, "pcie.width"),
        ("pcie_width_max", 4_294_967_295, "pcie.max_width"),
    ],
)
def test_physically_impossible_value_is_null_and_implausible(
    gpus: StandIn, probe: Probe, field: str, value: int, path: str
) -> None:
    if field == "power_limit_enforced":
        gpus.fail("nvmlDeviceGetPowerManagementLimit", 3, 0)
    gpus.set(0, field, value)
    try:
        details = probe.details()
    finally:
        if field == "memory_free":
            gpus.set(0, field, None)
    assert (flat(details)[path], details["unavailable"].get(path)) == (None, "implausible")


ZEROS: dict[str, str] = {
    "utilization_gpu": "utilization.gpu",
    "utilization_memory": "utilization.memory",
    "utilization_encoder": "utilization.encoder",
    "utilization_decoder": "utilization.decoder",
    "temperature": "temperature.gpu",
    "memory_temperature": "temperature.memory",
    "power_usage": "power.current",
    "energy": "power.energy_joules",
    "fan_speed": "fan_speed",
    "performance_state": "pstate",
    "memory_used": "memory.used",
    "memory_reserved": "memory.reserved",
    "clock_sm": "clocks.current.sm",
    "ecc_uncorrected_volatile": "ecc.uncorrected_volatile",
    "remapped_rows_correctable": "memory_repair.remapped_rows_corrected",
}


@pytest.mark.parametrize("field", ZEROS)
def test_a_zero_is_a_value(gpus: StandIn, probe: Probe, field: str) -> None:
    gpus.set(0, field, 0)
    details = flat(probe.details())
    assert (details[ZEROS[field]], details.get(f"unavailable.{ZEROS[field]}")) == (0, None)


def test_no_throttling_is_an_empty_list_not_null(gpus: StandIn, probe: Probe) -> None:
    gpus.set(0, "clocks_event_reasons", 0)
    assert probe.details()["throttle_reasons"] == []


def test_zeros_reach_the_metrics(gpus: StandIn, probe: Probe) -> None:
    uuid = full(0)["uuid"]
    with gpus.together():
        for field in ("utilization_gpu", "power_usage", "temperature", "performance_state"):
            gpus.set(0, field, 0)
    lines = [line for line in probe.metrics().splitlines() if f'uuid="{uuid}"' in line]
    for name in ("utilization_gpu_ratio", "power_draw_watts", "temperature_gpu", "pstate"):
        [line] = [line for line in lines if line.startswith(f"nvidia_smi_{name}{{")]
        assert float(line.rpartition(" ")[2]) == 0


def test_unknown_values_are_left_out_of_the_metrics(gpus: StandIn, probe: Probe) -> None:
    uuid = full(0)["uuid"]
    gpus.fail("nvmlDeviceGetPowerUsage", 3, 0)
    lines = [line for line in probe.metrics().splitlines() if f'uuid="{uuid}"' in line]
    assert not [line for line in lines if line.startswith("nvidia_smi_power_draw_watts{")]


def test_disabled_ecc_is_marked_instead_of_counting_zero_errors(gpus: StandIn, probe: Probe) -> None:
    gpus.set(0, "ecc_mode", 0)
    try:
        details = probe.details()
    finally:
        gpus.set(0, "ecc_mode", 1)
    assert (details["ecc"]["enabled"], details["ecc"]["corrected_volatile"]) == (False, None)
    assert details["unavailable"]["ecc.corrected_volatile"] == "disabled"


def test_metrics_of_numbered_fields_exist(gpus: StandIn, probe: Probe) -> None:
    gpus.set(0, "recovery_action", 4)
    gpus.set(0, "fabric_state", 3)
    text = probe.metrics()
    assert text.count("nvidia_smi_gpu_recovery_action{") >= 1
    assert "} 4\n" in text.partition("nvidia_smi_gpu_recovery_action{")[2]
    assert "} 3\n" in text.partition("nvidia_smi_fabric_state{")[2]


def test_unsupported_fabric_is_left_out(gpus: StandIn, probe: Probe) -> None:
    gpus.set(0, "fabric_state", 0)
    assert "nvidia_smi_fabric_state" not in probe.metrics()
