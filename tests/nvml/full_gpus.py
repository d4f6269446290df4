"""GPUs with every field set, and flattened documents."""

from typing import Any

from tests.standin import Value

CLOCKS = ("graphics", "sm", "memory", "video")

#: The paths in the details that each function alone provides; its failure must not affect others.
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

#: Functions of the whole machine, not of one GPU.
OF_THE_MACHINE = ("nvmlSystemGetDriverVersion", "nvmlSystemGetNVMLVersion", "nvmlSystemGetCudaDriverVersion_v2")


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return a flat document: the values by their paths."""
    if isinstance(value, dict) and value:
        return {k: v for name, part in value.items() for k, v in flat(part, f"{path}.{name}" if path else name).items()}
    return {path: value}


def full(index: int) -> dict[str, Value]:
    """Return a GPU with every field set to a unique value."""
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


def expected_details(index: int) -> dict[str, Any]:
    """Return the expected details of that GPU."""
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
        # The enforced limit is the effective one.
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
