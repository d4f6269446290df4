"""Define the GPU metrics of `/metrics` as tables of name, type, help and value.

The first table has the names of nvidia_gpu_exporter (prefix `nvidia_smi_`), the second those of DCGM's exporter.
"""

from collections.abc import Callable
from typing import NamedTuple

from api.domain.machines.reading import ECCErrors, MemoryRepair, ProcessKind
from api.gpus.health.judgement import JudgedGPU

MIB = 1024 * 1024
_COMPUTE_MODES = {"default": 0, "prohibited": 2, "exclusive_process": 3}
_CLOCK_REASONS = (
    "gpu_idle",
    "sw_power_cap",
    "hw_slowdown",
    "hw_thermal_slowdown",
    "sw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "sync_boost",
    "applications_clocks_setting",
)
_GRAPHICS = ProcessKind.GRAPHICS
_NO_ECC = ECCErrors()
_NO_REPAIR = MemoryRepair()


class MetricFamily(NamedTuple):
    """One metric: its name, help, a function that returns its value (None: omitted), and the factor to its unit."""

    name: str
    help: str
    value: Callable[[JudgedGPU], float | None]
    factor: float = 1
    type: str = "gauge"


def scaled(value: float | None, factor: float) -> float | None:
    """Return the value in another unit, or None for None."""
    return None if value is None else value * factor


def _ecc(gpu: JudgedGPU) -> ECCErrors:
    return gpu.condition.ecc or _NO_ECC


def _repair(gpu: JudgedGPU) -> MemoryRepair:
    return gpu.condition.repair or _NO_REPAIR


def _clock_reason(name: str) -> Callable[[JudgedGPU], float | None]:
    def value(gpu: JudgedGPU) -> float | None:
        reasons = gpu.vitals.throttle_reasons
        return None if reasons is None else name in reasons

    return value


SMI_FAMILIES: tuple[MetricFamily, ...] = (
    MetricFamily("index", "Index of the GPU.", lambda g: g.reading.index),
    MetricFamily("utilization_gpu_ratio", "Time with a kernel running.", lambda g: g.vitals.utilization_gpu, 0.01),
    MetricFamily(
        "utilization_memory_ratio",
        "Time with memory being read or written.",
        lambda g: g.vitals.utilization_memory,
        0.01,
    ),
    MetricFamily(
        "utilization_encoder_ratio", "Use of the video encoder.", lambda g: g.vitals.utilization_encoder, 0.01
    ),
    MetricFamily(
        "utilization_decoder_ratio", "Use of the video decoder.", lambda g: g.vitals.utilization_decoder, 0.01
    ),
    MetricFamily("memory_total_bytes", "Memory.", lambda g: g.vitals.memory_total_mb, MIB),
    MetricFamily("memory_used_bytes", "Memory in use.", lambda g: g.vitals.memory_used_mb, MIB),
    MetricFamily("memory_free_bytes", "Free memory.", lambda g: g.vitals.memory_free_mb, MIB),
    MetricFamily("memory_reserved_bytes", "Memory reserved by the driver.", lambda g: g.vitals.memory_reserved_mb, MIB),
    MetricFamily("temperature_gpu", "Temperature in degrees Celsius.", lambda g: g.vitals.temperature_gpu),
    MetricFamily(
        "temperature_memory", "Temperature of the memory in degrees Celsius.", lambda g: g.vitals.temperature_memory
    ),
    MetricFamily("fan_speed_ratio", "Intended fan speed.", lambda g: g.vitals.fan_percent, 0.01),
    MetricFamily("power_draw_watts", "Power drawn.", lambda g: g.vitals.power_watts),
    MetricFamily("power_limit_watts", "Power limit that was set.", lambda g: g.condition.power_limit_watts),
    MetricFamily(
        "enforced_power_limit_watts", "Effective power limit.", lambda g: g.condition.power_enforced_limit_watts
    ),
    MetricFamily(
        "power_default_limit_watts", "Power limit by default.", lambda g: g.identity.power_default_limit_watts
    ),
    MetricFamily(
        "power_min_limit_watts", "Lowest power limit that can be set.", lambda g: g.identity.power_min_limit_watts
    ),
    MetricFamily(
        "power_max_limit_watts", "Highest power limit that can be set.", lambda g: g.identity.power_max_limit_watts
    ),
    MetricFamily(
        "energy_joules_total",
        "Energy drawn since the driver was loaded.",
        lambda g: g.vitals.energy_joules,
        type="counter",
    ),
    MetricFamily("clocks_current_graphics_clock_hz", "Graphics clock.", lambda g: g.vitals.clocks.graphics, 1e6),
    MetricFamily("clocks_current_sm_clock_hz", "SM clock.", lambda g: g.vitals.clocks.sm, 1e6),
    MetricFamily("clocks_current_memory_clock_hz", "Memory clock.", lambda g: g.vitals.clocks.memory, 1e6),
    MetricFamily("clocks_current_video_clock_hz", "Video clock.", lambda g: g.vitals.clocks.video, 1e6),
    MetricFamily(
        "clocks_max_graphics_clock_hz", "Highest graphics clock.", lambda g: g.identity.clocks_max.graphics, 1e6
    ),
    MetricFamily("clocks_max_sm_clock_hz", "Highest SM clock.", lambda g: g.identity.clocks_max.sm, 1e6),
    MetricFamily("clocks_max_memory_clock_hz", "Highest memory clock.", lambda g: g.identity.clocks_max.memory, 1e6),
    MetricFamily("pstate", "Performance state, 0 the highest.", lambda g: g.vitals.pstate),
    MetricFamily(
        "compute_mode",
        "Compute mode: 0 default, 2 prohibited, 3 exclusive process.",
        lambda g: _COMPUTE_MODES.get(g.condition.compute_mode or ""),
    ),
    *(
        MetricFamily(f"clocks_event_reasons_{name}", f"Whether {name} holds the clocks down.", _clock_reason(name))
        for name in _CLOCK_REASONS
    ),
    MetricFamily(
        "ecc_errors_corrected_volatile_total",
        "Corrected memory errors since the driver was loaded.",
        lambda g: _ecc(g).corrected_volatile,
        type="counter",
    ),
    MetricFamily(
        "ecc_errors_uncorrected_volatile_total",
        "Uncorrectable memory errors since the driver was loaded.",
        lambda g: _ecc(g).uncorrected_volatile,
        type="counter",
    ),
    MetricFamily(
        "ecc_errors_corrected_aggregate_total",
        "Corrected memory errors over the life of the board.",
        lambda g: _ecc(g).corrected_aggregate,
        type="counter",
    ),
    MetricFamily(
        "ecc_errors_uncorrected_aggregate_total",
        "Uncorrectable memory errors over the life of the board.",
        lambda g: _ecc(g).uncorrected_aggregate,
        type="counter",
    ),
    MetricFamily(
        "remapped_rows_failure",
        "Whether a row of memory could not be remapped.",
        lambda g: _repair(g).remapped_rows_failure,
    ),
    MetricFamily(
        "remapped_rows_pending", "Whether a remapping waits for a reset.", lambda g: _repair(g).remapped_rows_pending
    ),
    MetricFamily(
        "retired_pages_pending",
        "Whether a page retirement waits for a reset.",
        lambda g: _repair(g).retired_pages_pending,
    ),
    MetricFamily(
        "gpu_recovery_action",
        "Recovery action requested: 0 none, 1 reset, 2 reboot, 3 drain P2P, 4 drain and reset, 5 IMEX, 6 bus, 7 all.",
        lambda g: g.vitals.recovery_action,
    ),
    MetricFamily(
        "fabric_state",
        "State of the NVLink fabric: 1 not started, 2 in progress, 3 completed.",
        lambda g: g.condition.fabric_state,
    ),
    MetricFamily(
        "pcie_throughput_rx_bytes_per_second",
        "PCIe bytes per second received by the GPU since the previous reading.",
        lambda g: g.vitals.pcie_rx_bytes_per_second,
    ),
    MetricFamily(
        "pcie_throughput_tx_bytes_per_second",
        "PCIe bytes per second sent by the GPU since the previous reading.",
        lambda g: g.vitals.pcie_tx_bytes_per_second,
    ),
    MetricFamily("mig_mode_current", "Whether MIG is on.", lambda g: g.condition.mig_enabled),
    MetricFamily("mig_mode_pending", "Whether MIG is on after a reset.", lambda g: g.condition.mig_pending),
    MetricFamily(
        "compute_apps",
        "Compute processes on the GPU.",
        lambda g: None if g.reading.processes is None else sum(p.kind is not _GRAPHICS for p in g.reading.processes),
    ),
    MetricFamily("pcie_link_gen_current", "Generation of the PCIe link.", lambda g: g.condition.pcie_generation),
    MetricFamily("pcie_link_width_current", "Lanes of the PCIe link.", lambda g: g.condition.pcie_width),
)

DCGM_FAMILIES: tuple[MetricFamily, ...] = (
    MetricFamily("SM_CLOCK", "SM clock in MHz.", lambda g: g.vitals.clocks.sm),
    MetricFamily("MEM_CLOCK", "Memory clock in MHz.", lambda g: g.vitals.clocks.memory),
    MetricFamily("MEMORY_TEMP", "Memory temperature in C.", lambda g: g.vitals.temperature_memory),
    MetricFamily("GPU_TEMP", "GPU temperature in C.", lambda g: g.vitals.temperature_gpu),
    MetricFamily("POWER_USAGE", "Power draw in W.", lambda g: g.vitals.power_watts),
    MetricFamily(
        "TOTAL_ENERGY_CONSUMPTION",
        "Energy in mJ since the driver was loaded.",
        lambda g: g.vitals.energy_joules,
        1000,
        type="counter",
    ),
    MetricFamily("GPU_UTIL", "GPU utilisation in %.", lambda g: g.vitals.utilization_gpu),
    MetricFamily("MEM_COPY_UTIL", "Memory utilisation in %.", lambda g: g.vitals.utilization_memory),
    MetricFamily("ENC_UTIL", "Encoder utilisation in %.", lambda g: g.vitals.utilization_encoder),
    MetricFamily("DEC_UTIL", "Decoder utilisation in %.", lambda g: g.vitals.utilization_decoder),
    MetricFamily("FB_FREE", "Free memory in MiB.", lambda g: g.vitals.memory_free_mb),
    MetricFamily("FB_USED", "Memory in use in MiB.", lambda g: g.vitals.memory_used_mb),
    MetricFamily("FB_RESERVED", "Reserved memory in MiB.", lambda g: g.vitals.memory_reserved_mb),
)
