"""Define the GPU metrics of `/metrics` as tables of name, type, help and value.

The first table has the names of nvidia_gpu_exporter (prefix `nvidia_smi_`), the second those of DCGM's exporter.
"""

from collections.abc import Callable
from typing import NamedTuple

from api.domain.reading import ECCErrors, MemoryRepair, ProcessKind
from api.gpus.judgement import JudgedGPU

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
    """One metric: its name, type, help, and a function that returns its value (None: omitted)."""

    name: str
    type: str
    help: str
    value: Callable[[JudgedGPU], float | None]


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
    MetricFamily("index", "gauge", "Index of the GPU.", lambda g: g.reading.index),
    MetricFamily(
        "utilization_gpu_ratio",
        "gauge",
        "Time with a kernel running.",
        lambda g: scaled(g.vitals.utilization_gpu, 0.01),
    ),
    MetricFamily(
        "utilization_memory_ratio",
        "gauge",
        "Time with memory being read or written.",
        lambda g: scaled(g.vitals.utilization_memory, 0.01),
    ),
    MetricFamily(
        "utilization_encoder_ratio",
        "gauge",
        "Use of the video encoder.",
        lambda g: scaled(g.vitals.utilization_encoder, 0.01),
    ),
    MetricFamily(
        "utilization_decoder_ratio",
        "gauge",
        "Use of the video decoder.",
        lambda g: scaled(g.vitals.utilization_decoder, 0.01),
    ),
    MetricFamily("memory_total_bytes", "gauge", "Memory.", lambda g: scaled(g.vitals.memory_total_mb, MIB)),
    MetricFamily("memory_used_bytes", "gauge", "Memory in use.", lambda g: scaled(g.vitals.memory_used_mb, MIB)),
    MetricFamily("memory_free_bytes", "gauge", "Free memory.", lambda g: scaled(g.vitals.memory_free_mb, MIB)),
    MetricFamily(
        "memory_reserved_bytes",
        "gauge",
        "Memory reserved by the driver.",
        lambda g: scaled(g.vitals.memory_reserved_mb, MIB),
    ),
    MetricFamily("temperature_gpu", "gauge", "Temperature in degrees Celsius.", lambda g: g.vitals.temperature_gpu),
    MetricFamily(
        "temperature_memory",
        "gauge",
        "Temperature of the memory in degrees Celsius.",
        lambda g: g.vitals.temperature_memory,
    ),
    MetricFamily("fan_speed_ratio", "gauge", "Intended fan speed.", lambda g: scaled(g.vitals.fan_percent, 0.01)),
    MetricFamily("power_draw_watts", "gauge", "Power drawn.", lambda g: g.vitals.power_watts),
    MetricFamily("power_limit_watts", "gauge", "Power limit that was set.", lambda g: g.condition.power_limit_watts),
    MetricFamily(
        "enforced_power_limit_watts",
        "gauge",
        "Effective power limit.",
        lambda g: g.condition.power_enforced_limit_watts,
    ),
    MetricFamily(
        "power_default_limit_watts", "gauge", "Power limit by default.", lambda g: g.identity.power_default_limit_watts
    ),
    MetricFamily(
        "power_min_limit_watts",
        "gauge",
        "Lowest power limit that can be set.",
        lambda g: g.identity.power_min_limit_watts,
    ),
    MetricFamily(
        "power_max_limit_watts",
        "gauge",
        "Highest power limit that can be set.",
        lambda g: g.identity.power_max_limit_watts,
    ),
    MetricFamily(
        "energy_joules_total", "counter", "Energy drawn since the driver was loaded.", lambda g: g.vitals.energy_joules
    ),
    MetricFamily(
        "clocks_current_graphics_clock_hz", "gauge", "Graphics clock.", lambda g: scaled(g.vitals.clocks.graphics, 1e6)
    ),
    MetricFamily("clocks_current_sm_clock_hz", "gauge", "SM clock.", lambda g: scaled(g.vitals.clocks.sm, 1e6)),
    MetricFamily(
        "clocks_current_memory_clock_hz", "gauge", "Memory clock.", lambda g: scaled(g.vitals.clocks.memory, 1e6)
    ),
    MetricFamily(
        "clocks_current_video_clock_hz", "gauge", "Video clock.", lambda g: scaled(g.vitals.clocks.video, 1e6)
    ),
    MetricFamily(
        "clocks_max_graphics_clock_hz",
        "gauge",
        "Highest graphics clock.",
        lambda g: scaled(g.identity.clocks_max.graphics, 1e6),
    ),
    MetricFamily(
        "clocks_max_sm_clock_hz", "gauge", "Highest SM clock.", lambda g: scaled(g.identity.clocks_max.sm, 1e6)
    ),
    MetricFamily(
        "clocks_max_memory_clock_hz",
        "gauge",
        "Highest memory clock.",
        lambda g: scaled(g.identity.clocks_max.memory, 1e6),
    ),
    MetricFamily("pstate", "gauge", "Performance state, 0 the highest.", lambda g: g.vitals.pstate),
    MetricFamily(
        "compute_mode",
        "gauge",
        "Compute mode: 0 default, 2 prohibited, 3 exclusive process.",
        lambda g: _COMPUTE_MODES.get(g.condition.compute_mode or ""),
    ),
    *(
        MetricFamily(
            f"clocks_event_reasons_{name}", "gauge", f"Whether {name} holds the clocks down.", _clock_reason(name)
        )
        for name in _CLOCK_REASONS
    ),
    MetricFamily(
        "ecc_errors_corrected_volatile_total",
        "counter",
        "Corrected memory errors since the driver was loaded.",
        lambda g: _ecc(g).corrected_volatile,
    ),
    MetricFamily(
        "ecc_errors_uncorrected_volatile_total",
        "counter",
        "Uncorrectable memory errors since the driver was loaded.",
        lambda g: _ecc(g).uncorrected_volatile,
    ),
    MetricFamily(
        "ecc_errors_corrected_aggregate_total",
        "counter",
        "Corrected memory errors over the life of the board.",
        lambda g: _ecc(g).corrected_aggregate,
    ),
    MetricFamily(
        "ecc_errors_uncorrected_aggregate_total",
        "counter",
        "Uncorrectable memory errors over the life of the board.",
        lambda g: _ecc(g).uncorrected_aggregate,
    ),
    MetricFamily(
        "remapped_rows_failure",
        "gauge",
        "Whether a row of memory could not be remapped.",
        lambda g: _repair(g).remapped_rows_failure,
    ),
    MetricFamily(
        "remapped_rows_pending",
        "gauge",
        "Whether a remapping waits for a reset.",
        lambda g: _repair(g).remapped_rows_pending,
    ),
    MetricFamily(
        "retired_pages_pending",
        "gauge",
        "Whether a page retirement waits for a reset.",
        lambda g: _repair(g).retired_pages_pending,
    ),
    MetricFamily(
        "gpu_recovery_action",
        "gauge",
        "Recovery action requested: 0 none, 1 reset, 2 reboot, 3 drain P2P, 4 drain and reset, 5 IMEX, 6 bus, 7 all.",
        lambda g: g.vitals.recovery_action,
    ),
    MetricFamily(
        "fabric_state",
        "gauge",
        "State of the NVLink fabric: 1 not started, 2 in progress, 3 completed.",
        lambda g: g.condition.fabric_state,
    ),
    MetricFamily(
        "pcie_throughput_rx_bytes_per_second",
        "gauge",
        "PCIe bytes per second received by the GPU since the previous reading.",
        lambda g: g.vitals.pcie_rx_bytes_per_second,
    ),
    MetricFamily(
        "pcie_throughput_tx_bytes_per_second",
        "gauge",
        "PCIe bytes per second sent by the GPU since the previous reading.",
        lambda g: g.vitals.pcie_tx_bytes_per_second,
    ),
    MetricFamily("mig_mode_current", "gauge", "Whether MIG is on.", lambda g: g.condition.mig_enabled),
    MetricFamily("mig_mode_pending", "gauge", "Whether MIG is on after a reset.", lambda g: g.condition.mig_pending),
    MetricFamily(
        "compute_apps",
        "gauge",
        "Compute processes on the GPU.",
        lambda g: None if g.reading.processes is None else sum(p.kind is not _GRAPHICS for p in g.reading.processes),
    ),
    MetricFamily(
        "pcie_link_gen_current", "gauge", "Generation of the PCIe link.", lambda g: g.condition.pcie_generation
    ),
    MetricFamily("pcie_link_width_current", "gauge", "Lanes of the PCIe link.", lambda g: g.condition.pcie_width),
)

DCGM_FAMILIES: tuple[MetricFamily, ...] = (
    MetricFamily("SM_CLOCK", "gauge", "SM clock in MHz.", lambda g: g.vitals.clocks.sm),
    MetricFamily("MEM_CLOCK", "gauge", "Memory clock in MHz.", lambda g: g.vitals.clocks.memory),
    MetricFamily("MEMORY_TEMP", "gauge", "Memory temperature in C.", lambda g: g.vitals.temperature_memory),
    MetricFamily("GPU_TEMP", "gauge", "GPU temperature in C.", lambda g: g.vitals.temperature_gpu),
    MetricFamily("POWER_USAGE", "gauge", "Power draw in W.", lambda g: g.vitals.power_watts),
    MetricFamily(
        "TOTAL_ENERGY_CONSUMPTION",
        "counter",
        "Energy in mJ since the driver was loaded.",
        lambda g: scaled(g.vitals.energy_joules, 1000),
    ),
    MetricFamily("GPU_UTIL", "gauge", "GPU utilisation in %.", lambda g: g.vitals.utilization_gpu),
    MetricFamily("MEM_COPY_UTIL", "gauge", "Memory utilisation in %.", lambda g: g.vitals.utilization_memory),
    MetricFamily("ENC_UTIL", "gauge", "Encoder utilisation in %.", lambda g: g.vitals.utilization_encoder),
    MetricFamily("DEC_UTIL", "gauge", "Decoder utilisation in %.", lambda g: g.vitals.utilization_decoder),
    MetricFamily("FB_FREE", "gauge", "Free memory in MiB.", lambda g: g.vitals.memory_free_mb),
    MetricFamily("FB_USED", "gauge", "Memory in use in MiB.", lambda g: g.vitals.memory_used_mb),
    MetricFamily("FB_RESERVED", "gauge", "Reserved memory in MiB.", lambda g: g.vitals.memory_reserved_mb),
)
