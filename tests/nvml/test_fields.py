"""Every field is read right, and each that fails is null with its reason and touches no other."""

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.nvml.probe import Probe
from tests.standin import StandIn, Value

REASONS = {3: "unsupported", 4: "no_permission", 13: "unsupported"}

CLOCKS = ("graphics", "sm", "memory", "video")

#: What each function answers alone, by path in the details; a failure may touch nothing else.
FIELDS_OF = {
    "nvmlDeviceGetSerial": ["serial"],
    "nvmlDeviceGetArchitecture": ["architecture"],
    "nvmlDeviceGetName": ["name"],
    "nvmlDeviceGetCudaComputeCapability": ["compute_capability"],
    "nvmlDeviceGetPciInfo_v3": ["pcie.bus_id"],
    "nvmlDeviceGetUtilizationRates": ["utilization.gpu", "utilization.memory"],
    "nvmlDeviceGetEncoderUtilization": ["utilization.encoder"],
    "nvmlDeviceGetDecoderUtilization": ["utilization.decoder"],
    "nvmlDeviceGetFieldValues": ["temperature.memory"],
    "nvmlDeviceGetTemperatureThreshold": ["temperature.slowdown", "temperature.shutdown"],
    "nvmlDeviceGetPowerUsage": ["power.current", "power.usage_percent"],
    "nvmlDeviceGetPowerManagementDefaultLimit": ["power.default_limit"],
    "nvmlDeviceGetPowerManagementLimitConstraints": ["power.min_limit", "power.max_limit"],
    "nvmlDeviceGetTotalEnergyConsumption": ["power.energy_joules"],
    "nvmlDeviceGetFanSpeed": ["fan_speed"],
    "nvmlDeviceGetClockInfo": [f"clocks.current.{name}" for name in CLOCKS],
    "nvmlDeviceGetMaxClockInfo": [f"clocks.max.{name}" for name in CLOCKS],
    "nvmlDeviceGetPerformanceState": ["pstate"],
    "nvmlDeviceGetEccMode": ["ecc"],
    "nvmlDeviceGetTotalEccErrors": [
        f"ecc.{kind}_{life}" for kind in ("corrected", "uncorrected") for life in ("volatile", "aggregate")
    ],
    "nvmlDeviceGetRemappedRows": [
        f"memory_repair.remapped_rows_{name}" for name in ("corrected", "uncorrected", "pending", "failure")
    ],
    "nvmlDeviceGetRetiredPages": ["memory_repair.retired_pages"],
    "nvmlDeviceGetRetiredPagesPendingStatus": ["memory_repair.retired_pages_pending"],
    "nvmlDeviceGetCurrPcieLinkGeneration": ["pcie.generation"],
    "nvmlDeviceGetMaxPcieLinkGeneration": ["pcie.max_generation"],
    "nvmlDeviceGetCurrPcieLinkWidth": ["pcie.width"],
    "nvmlDeviceGetMaxPcieLinkWidth": ["pcie.max_width"],
    "nvmlDeviceGetNvLinkState": ["nvlink"],
    "nvmlDeviceGetMigMode": ["mig.enabled", "mig.pending"],
    "nvmlDeviceGetComputeMode": ["compute_mode"],
    "nvmlDeviceGetPersistenceMode": ["persistence_mode"],
    "nvmlSystemGetDriverVersion": ["driver_version"],
    "nvmlSystemGetNVMLVersion": ["nvml_version"],
}

#: Asked for all of the machine, not for one GPU.
OF_THE_MACHINE = ("nvmlSystemGetDriverVersion", "nvmlSystemGetNVMLVersion", "nvmlSystemGetCudaDriverVersion_v2")


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """A document as one level: the values by their paths."""
    if isinstance(value, dict) and value:
        return {k: v for name, part in value.items() for k, v in flat(part, f"{path}.{name}" if path else name).items()}
    return {path: value}


def full(index: int) -> dict[str, Value]:
    """A GPU with every field set, each to a value that no other field and no other GPU has."""
    step = index * 3
    return {
        "uuid": f"GPU-0000000{index}-aaaa-bbbb-cccc-0123456789ab",
        "name": f"NVIDIA Test {index}",
        "serial": f"serial-{index}",
        "pci_bus_id": f"0000000{index}:C{index}:00.0",
        "architecture": 7 + index,
        "compute_capability_major": 8 + index,
        "compute_capability_minor": 1 + index,
        "memory_total": (40_000 + index) << 20,
        "memory_reserved": (500 + index) << 20,
        "memory_used": (610 + index) << 20,
        "utilization_gpu": 11 + step,
        "utilization_memory": 21 + step,
        "utilization_encoder": 31 + step,
        "utilization_decoder": 41 + step,
        "temperature": 51 + step,
        "memory_temperature": 61 + step,
        "threshold_slowdown": 85 + index,
        "threshold_shutdown": 95 + index,
        "power_usage": 123_000 + index,
        "power_limit": 400_000 + index,
        "power_limit_enforced": 300_000 + index,
        "power_limit_default": 350_000 + index,
        "power_limit_min": 100_000 + index,
        "power_limit_max": 450_000 + index,
        "energy": 5_000_000_500 + index,
        "fan_speed": 33 + index,
        "performance_state": 2 + index,
        "clock_graphics": 1_001 + index,
        "clock_sm": 1_101 + index,
        "clock_memory": 1_201 + index,
        "clock_video": 1_301 + index,
        "clock_graphics_max": 2_001 + index,
        "clock_sm_max": 2_101 + index,
        "clock_memory_max": 2_201 + index,
        "clock_video_max": 2_301 + index,
        "clocks_event_reasons": 0x4 | 0x20,
        "pcie_generation": 3 + index,
        "pcie_generation_max": 4 + index,
        "pcie_width": 4 << index,
        "pcie_width_max": 8 << index,
        "ecc_corrected_volatile": 1_001 + index,
        "ecc_corrected_aggregate": 1_101 + index,
        "ecc_uncorrected_volatile": 1_201 + index,
        "ecc_uncorrected_aggregate": 1_301 + index,
        "remapped_rows_correctable": 3 + index,
        "remapped_rows_uncorrectable": 13 + index,
        "remapped_rows_pending": index,
        "remapped_rows_failure": 1 - index,
        "retired_pages_single_bit": list(range(2 + index)),
        "retired_pages_double_bit": [7],
        "retired_pages_pending": index,
        "compute_mode": 3 * index,
        "persistence_mode": index,
        "nvlink_state": [1, 0, 1][: 2 + index],
    }


def told(index: int) -> dict[str, Any]:
    """What the details of that GPU must say."""
    step = index * 3
    return {
        "gpu_id": index,
        "uuid": f"GPU-0000000{index}-aaaa-bbbb-cccc-0123456789ab",
        "name": f"NVIDIA Test {index}",
        "serial": f"serial-{index}",
        "architecture": ("Ampere", "Ada")[index],
        "compute_capability": ("8.1", "9.2")[index],
        "memory.total": 40_000 + index,
        "memory.reserved": 500 + index,
        "memory.used": 610 + index,
        "memory.free": 40_000 - 500 - 610 - index,
        "memory.utilization": 1.5,
        "memory.total_gb": 39.06,
        "memory.unified": False,
        "utilization.gpu": 11 + step,
        "utilization.memory": 21 + step,
        "utilization.encoder": 31 + step,
        "utilization.decoder": 41 + step,
        "temperature.gpu": 51 + step,
        "temperature.memory": 61 + step,
        "temperature.slowdown": 85 + index,
        "temperature.shutdown": 95 + index,
        "power.current": 123 + index / 1000,
        # The enforced limit is the one that holds.
        "power.limit": 300 + index / 1000,
        "power.default_limit": 350 + index / 1000,
        "power.min_limit": 100 + index / 1000,
        "power.max_limit": 450 + index / 1000,
        "power.usage_percent": 41.0,
        "power.energy_joules": 5_000_000.5 + index / 1000,
        "fan_speed": 33 + index,
        "pstate": 2 + index,
        **{f"clocks.current.{name}": 1_001 + 100 * i + index for i, name in enumerate(CLOCKS)},
        **{f"clocks.max.{name}": 2_001 + 100 * i + index for i, name in enumerate(CLOCKS)},
        "throttle_reasons": ["sw_power_cap", "sw_thermal_slowdown"],
        "pcie.bus_id": f"0000000{index}:C{index}:00.0",
        "pcie.generation": 3 + index,
        "pcie.max_generation": 4 + index,
        "pcie.width": 4 << index,
        "pcie.max_width": 8 << index,
        "ecc.enabled": True,
        "ecc.corrected_volatile": 1_001 + index,
        "ecc.corrected_aggregate": 1_101 + index,
        "ecc.uncorrected_volatile": 1_201 + index,
        "ecc.uncorrected_aggregate": 1_301 + index,
        "memory_repair.remapped_rows_corrected": 3 + index,
        "memory_repair.remapped_rows_uncorrected": 13 + index,
        "memory_repair.remapped_rows_pending": bool(index),
        "memory_repair.remapped_rows_failure": not index,
        "memory_repair.retired_pages": 3 + index,
        "memory_repair.retired_pages_pending": bool(index),
        "compute_mode": ("default", "exclusive_process")[index],
        "persistence_mode": bool(index),
        "nvlink": [{"link": i, "active": i != 1} for i in range(2 + index)],
        "driver_version": "580.95.05",
        "cuda_version": "13.0",
        "nvml_version": "13.580.95.05",
        "source": "nvml",
        "unavailable": {},
    }


@pytest.fixture(scope="module")
def whole(probe_machine: StandIn) -> StandIn:
    """Two GPUs with every field set. Errors are not listened for, so that a sweep costs no waiting."""
    for index in range(2):
        probe_machine.add_gpus(1, **full(index))
    return probe_machine


@pytest.fixture
def gpus(whole: StandIn) -> Iterator[StandIn]:
    """They again, as they were before whatever a test does to the first of them."""
    before = full(0)
    whole.restore()
    whole.fail("nvmlEventSetCreate", 3)
    yield whole
    with whole.together():
        whole.restore()
        for key, value in before.items():
            whole.set(0, key, value)


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The measured fields whose value differs: not what follows from them, nor the moment of reading."""
    follows = ("health", "status", "timestamp", "unavailable", "is_available")
    old, new = flat(before), flat(after)
    return {
        path: new.get(path) for path in {*old, *new} if old.get(path) != new.get(path) and not path.startswith(follows)
    }


@pytest.mark.parametrize("index", [0, 1])
def test_every_field_is_read_from_its_own_gpu(gpus: StandIn, probe: Probe, index: int) -> None:
    details = flat(probe.details(index))
    assert {path: details[path] for path in told(index) if path != "unavailable"} == {
        path: value for path, value in told(index).items() if path != "unavailable"
    }


def test_a_gpu_that_answers_everything_has_nothing_unavailable(gpus: StandIn, probe: Probe) -> None:
    assert probe.details()["unavailable"] == {}


@pytest.mark.parametrize("code", REASONS)
@pytest.mark.parametrize("function", FIELDS_OF)
def test_a_failing_function_nulls_its_own_fields_and_says_why(
    gpus: StandIn, probe: Probe, function: str, code: int
) -> None:
    before = probe.details()
    gpus.fail(function, code, None if function in OF_THE_MACHINE else 0)
    after = probe.details()
    expected = set(FIELDS_OF[function])
    gone = {path for path in changed(before, after) if path not in expected and not path.startswith("ecc.")}
    nulls = {path: flat(after).get(path, "absent") for path in expected}
    assert (nulls, gone) == (dict.fromkeys(expected), set())
    assert after["unavailable"] == dict.fromkeys(expected, REASONS[code])


@pytest.mark.parametrize("code", REASONS)
@pytest.mark.parametrize("function", sorted(set(FIELDS_OF) - set(OF_THE_MACHINE)))
def test_a_failing_function_of_one_gpu_leaves_the_other_alone(
    gpus: StandIn, probe: Probe, function: str, code: int
) -> None:
    gpus.fail(function, code, 0)
    details = flat(probe.details(1))
    assert {path: details[path] for path in told(1) if path in details} == {
        path: value for path, value in told(1).items() if path in details
    }
    assert probe.details(1)["unavailable"] == {}


@pytest.mark.parametrize("code", REASONS)
def test_temperature_without_its_function_is_null_with_the_reason(gpus: StandIn, probe: Probe, code: int) -> None:
    # Newer bindings ask by another function than older ones.
    gpus.fail("nvmlDeviceGetTemperature", code, 0)
    gpus.fail("nvmlDeviceGetTemperatureV", code, 0)
    details = probe.details()
    assert details["temperature"]["gpu"] is None
    assert details["unavailable"] == {"temperature.gpu": REASONS[code]}


@pytest.mark.parametrize("code", [3, 4])
def test_throttle_reasons_that_are_refused_are_null_with_the_reason(gpus: StandIn, probe: Probe, code: int) -> None:
    gpus.fail("nvmlDeviceGetCurrentClocksEventReasons", code, 0)
    gpus.fail("nvmlDeviceGetCurrentClocksThrottleReasons", code, 0)
    details = probe.details()
    assert details["throttle_reasons"] is None
    assert details["unavailable"] == {"throttle_reasons": REASONS[code]}


def test_throttle_reasons_of_an_older_driver_are_read_under_the_older_name(gpus: StandIn, probe: Probe) -> None:
    gpus.fail("nvmlDeviceGetCurrentClocksEventReasons", 13, 0)
    assert probe.details()["throttle_reasons"] == ["sw_power_cap", "sw_thermal_slowdown"]


def test_the_power_limit_that_was_set_stands_in_for_an_enforced_one_that_is_not_told(
    gpus: StandIn, probe: Probe
) -> None:
    gpus.fail("nvmlDeviceGetEnforcedPowerLimit", 3, 0)
    assert probe.details()["power"]["limit"] == 400.0


@pytest.mark.parametrize(("code", "reason"), [(3, "unsupported"), (4, "no_permission")])
def test_a_power_limit_that_nothing_tells_is_null_with_the_reason(
    gpus: StandIn, probe: Probe, code: int, reason: str
) -> None:
    gpus.fail("nvmlDeviceGetEnforcedPowerLimit", code, 0)
    gpus.fail("nvmlDeviceGetPowerManagementLimit", code, 0)
    details = probe.details()
    assert (details["power"]["limit"], details["power"]["usage_percent"]) == (None, None)
    assert details["unavailable"] == {"power.limit": reason, "power.usage_percent": reason}


def test_cuda_version_falls_back_to_the_first_form_of_its_function(gpus: StandIn, probe: Probe) -> None:
    gpus.fail("nvmlSystemGetCudaDriverVersion_v2", 13)
    assert probe.details()["cuda_version"] == "13.0"


def test_a_gpu_without_a_uuid_is_known_by_its_place_on_the_bus(gpus: StandIn, probe: Probe) -> None:
    gpus.fail("nvmlDeviceGetUUID", 3, 0)
    assert probe.details()["uuid"] == "PCI-00000000:C0:00.0"


@pytest.mark.parametrize("code", [3, 13, 25])
def test_memory_is_read_by_the_first_form_where_the_second_fails(gpus: StandIn, probe: Probe, code: int) -> None:
    gpus.fail("nvmlDeviceGetMemoryInfo_v2", code, 0)
    details = probe.details()
    # The first form counts reserved memory as used.
    assert (details["memory"]["total"], details["memory"]["used"], details["memory"]["free"]) == (40_000, 1110, 38_890)
    assert details["memory"]["reserved"] is None
    assert details["unavailable"] == {"memory.reserved": "unsupported"}


def test_memory_that_may_not_be_read_is_null_with_the_reason(gpus: StandIn, probe: Probe) -> None:
    gpus.fail("nvmlDeviceGetMemoryInfo_v2", 4, 0)
    gpus.fail("nvmlDeviceGetMemoryInfo", 4, 0)
    details = probe.details()
    fields = ("total", "used", "free", "reserved", "utilization", "total_gb", "free_gb")
    assert {name: details["memory"][name] for name in fields} == dict.fromkeys(fields)
    assert details["unavailable"] == {f"memory.{name}": "no_permission" for name in fields}


@pytest.fixture
def unified(gpus: StandIn) -> StandIn:
    """The first GPU has no memory of its own, as GB10 and Thor have none."""
    gpus.set(0, "name", "NVIDIA GB10")
    gpus.fail("nvmlDeviceGetMemoryInfo_v2", 3, 0)
    gpus.fail("nvmlDeviceGetMemoryInfo", 3, 0)
    return gpus


def test_unified_memory_is_the_hosts_and_says_so(unified: StandIn, probe: Probe) -> None:
    memory = probe.details()["memory"]
    assert (memory["unified"], memory["total"]) == (True, psutil.virtual_memory().total >> 20)


def test_unified_memory_adds_up(unified: StandIn, probe: Probe) -> None:
    memory = probe.details()["memory"]
    assert abs(memory["used"] + memory["free"] - memory["total"]) <= 1


def test_unified_memory_has_no_reserved_part_and_says_why(unified: StandIn, probe: Probe) -> None:
    details = probe.details()
    assert details["memory"]["reserved"] is None
    assert details["unavailable"] == {"memory.reserved": "unified_memory"}


def test_a_gpu_with_unified_memory_can_be_had_although_the_host_uses_much(unified: StandIn, probe: Probe) -> None:
    unified.set(0, "remapped_rows_failure", 0)
    assert probe.details()["is_available"]


def test_a_discrete_board_that_cannot_tell_its_memory_does_not_show_the_hosts(gpus: StandIn, probe: Probe) -> None:
    gpus.fail("nvmlDeviceGetMemoryInfo_v2", 3, 0)
    gpus.fail("nvmlDeviceGetMemoryInfo", 3, 0)
    details = probe.details()
    assert (details["memory"]["unified"], details["memory"]["total"], details["is_available"]) == (False, None, False)
    assert details["unavailable"]["memory.total"] == "unsupported"
    assert "memory" in details["status_reason"]


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
def test_a_value_outside_the_physical_range_is_null_and_called_implausible(
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


def test_implausible_memory_offers_nothing_of_that_size(gpus: StandIn, probe: Probe) -> None:
    gpus.set(0, "memory_used", (1 << 64) - 1)
    text = probe.metrics()
    used = [
        line
        for line in text.splitlines()
        if line.startswith("nvidia_smi_memory_used_bytes{") and full(0)["uuid"] in line
    ]
    assert used == []


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


def test_ecc_that_is_off_says_so_instead_of_counting_zero_errors(gpus: StandIn, probe: Probe) -> None:
    gpus.set(0, "ecc_mode", 0)
    try:
        details = probe.details()
    finally:
        gpus.set(0, "ecc_mode", 1)
    assert (details["ecc"]["enabled"], details["ecc"]["corrected_volatile"]) == (False, None)
    assert details["unavailable"]["ecc.corrected_volatile"] == "disabled"


@pytest.mark.parametrize("code", [15, 16, 999])
def test_an_unusual_code_of_a_driver_version_costs_only_the_version(gpus: StandIn, probe: Probe, code: int) -> None:
    gpus.fail("nvmlSystemGetDriverVersion", code)
    details = probe.details()
    assert (details["driver_version"], details["utilization"]["gpu"]) == (None, 11)


def test_series_of_the_numbered_fields_are_there(gpus: StandIn, probe: Probe) -> None:
    gpus.set(0, "recovery_action", 4)
    gpus.set(0, "fabric_state", 3)
    text = probe.metrics()
    assert text.count("nvidia_smi_gpu_recovery_action{") >= 1
    assert "} 4\n" in text.partition("nvidia_smi_gpu_recovery_action{")[2]
    assert "} 3\n" in text.partition("nvidia_smi_fabric_state{")[2]


def test_fabric_that_the_board_has_not_is_left_out(gpus: StandIn, probe: Probe) -> None:
    gpus.set(0, "fabric_state", 0)
    assert "nvidia_smi_fabric_state" not in probe.metrics()
