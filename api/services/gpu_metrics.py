"""The GPU series of `/metrics`, in the names that existing dashboards query; unknown values are left out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from api.models.reading import ECCErrors, MemoryRepair
from api.models.snapshot import GPUSnapshot
from api.services.gpu_view import JudgedGPU

_MIB = 1024 * 1024
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
_NO_ECC = ECCErrors()
_NO_REPAIR = MemoryRepair()


class Family(NamedTuple):
    """One metric: its name, type, help, and how its value is had from a GPU (None: left out)."""

    name: str
    type: str
    help: str
    value: Callable[[JudgedGPU], float | None]


def _scaled(value: float | None, factor: float) -> float | None:
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


_SMI: tuple[Family, ...] = (
    Family("index", "gauge", "Index of the GPU.", lambda g: g.reading.index),
    Family(
        "utilization_gpu_ratio",
        "gauge",
        "Time with a kernel running.",
        lambda g: _scaled(g.vitals.utilization_gpu, 0.01),
    ),
    Family(
        "utilization_memory_ratio",
        "gauge",
        "Time with memory being read or written.",
        lambda g: _scaled(g.vitals.utilization_memory, 0.01),
    ),
    Family(
        "utilization_encoder_ratio",
        "gauge",
        "Use of the video encoder.",
        lambda g: _scaled(g.vitals.utilization_encoder, 0.01),
    ),
    Family(
        "utilization_decoder_ratio",
        "gauge",
        "Use of the video decoder.",
        lambda g: _scaled(g.vitals.utilization_decoder, 0.01),
    ),
    Family("memory_total_bytes", "gauge", "Memory.", lambda g: _scaled(g.vitals.memory_total_mb, _MIB)),
    Family("memory_used_bytes", "gauge", "Memory in use.", lambda g: _scaled(g.vitals.memory_used_mb, _MIB)),
    Family("memory_free_bytes", "gauge", "Free memory.", lambda g: _scaled(g.vitals.memory_free_mb, _MIB)),
    Family(
        "memory_reserved_bytes",
        "gauge",
        "Memory that the driver keeps for itself.",
        lambda g: _scaled(g.vitals.memory_reserved_mb, _MIB),
    ),
    Family("temperature_gpu", "gauge", "Temperature in degrees Celsius.", lambda g: g.vitals.temperature_gpu),
    Family(
        "temperature_memory",
        "gauge",
        "Temperature of the memory in degrees Celsius.",
        lambda g: g.vitals.temperature_memory,
    ),
    Family("fan_speed_ratio", "gauge", "Intended fan speed.", lambda g: _scaled(g.vitals.fan_percent, 0.01)),
    Family("power_draw_watts", "gauge", "Power drawn.", lambda g: g.vitals.power_watts),
    Family("power_limit_watts", "gauge", "Power limit that was set.", lambda g: g.condition.power_limit_watts),
    Family(
        "enforced_power_limit_watts",
        "gauge",
        "Power limit that holds.",
        lambda g: g.condition.power_enforced_limit_watts,
    ),
    Family(
        "power_default_limit_watts", "gauge", "Power limit by default.", lambda g: g.identity.power_default_limit_watts
    ),
    Family(
        "power_min_limit_watts",
        "gauge",
        "Lowest power limit that can be set.",
        lambda g: g.identity.power_min_limit_watts,
    ),
    Family(
        "power_max_limit_watts",
        "gauge",
        "Highest power limit that can be set.",
        lambda g: g.identity.power_max_limit_watts,
    ),
    Family(
        "energy_joules_total", "counter", "Energy drawn since the driver was loaded.", lambda g: g.vitals.energy_joules
    ),
    Family(
        "clocks_current_graphics_clock_hz", "gauge", "Graphics clock.", lambda g: _scaled(g.vitals.clocks.graphics, 1e6)
    ),
    Family("clocks_current_sm_clock_hz", "gauge", "SM clock.", lambda g: _scaled(g.vitals.clocks.sm, 1e6)),
    Family("clocks_current_memory_clock_hz", "gauge", "Memory clock.", lambda g: _scaled(g.vitals.clocks.memory, 1e6)),
    Family("clocks_current_video_clock_hz", "gauge", "Video clock.", lambda g: _scaled(g.vitals.clocks.video, 1e6)),
    Family(
        "clocks_max_graphics_clock_hz",
        "gauge",
        "Highest graphics clock.",
        lambda g: _scaled(g.identity.clocks_max.graphics, 1e6),
    ),
    Family("clocks_max_sm_clock_hz", "gauge", "Highest SM clock.", lambda g: _scaled(g.identity.clocks_max.sm, 1e6)),
    Family(
        "clocks_max_memory_clock_hz",
        "gauge",
        "Highest memory clock.",
        lambda g: _scaled(g.identity.clocks_max.memory, 1e6),
    ),
    Family("pstate", "gauge", "Performance state, 0 the highest.", lambda g: g.vitals.pstate),
    Family(
        "compute_mode",
        "gauge",
        "Compute mode: 0 default, 2 prohibited, 3 exclusive process.",
        lambda g: _COMPUTE_MODES.get(g.condition.compute_mode or ""),
    ),
    *(
        Family(f"clocks_event_reasons_{name}", "gauge", f"Whether {name} holds the clocks down.", _clock_reason(name))
        for name in _CLOCK_REASONS
    ),
    Family(
        "ecc_errors_corrected_volatile_total",
        "counter",
        "Corrected memory errors since the driver was loaded.",
        lambda g: _ecc(g).corrected_volatile,
    ),
    Family(
        "ecc_errors_uncorrected_volatile_total",
        "counter",
        "Uncorrectable memory errors since the driver was loaded.",
        lambda g: _ecc(g).uncorrected_volatile,
    ),
    Family(
        "ecc_errors_corrected_aggregate_total",
        "counter",
        "Corrected memory errors over the life of the board.",
        lambda g: _ecc(g).corrected_aggregate,
    ),
    Family(
        "ecc_errors_uncorrected_aggregate_total",
        "counter",
        "Uncorrectable memory errors over the life of the board.",
        lambda g: _ecc(g).uncorrected_aggregate,
    ),
    Family(
        "remapped_rows_failure",
        "gauge",
        "Whether a row of memory could not be remapped.",
        lambda g: _repair(g).remapped_rows_failure,
    ),
    Family(
        "remapped_rows_pending",
        "gauge",
        "Whether a remapping waits for a reset.",
        lambda g: _repair(g).remapped_rows_pending,
    ),
    Family(
        "retired_pages_pending",
        "gauge",
        "Whether a page retirement waits for a reset.",
        lambda g: _repair(g).retired_pages_pending,
    ),
    Family("pcie_link_gen_current", "gauge", "Generation of the PCIe link.", lambda g: g.condition.pcie_generation),
    Family("pcie_link_width_current", "gauge", "Lanes of the PCIe link.", lambda g: g.condition.pcie_width),
)

_DCGM: tuple[Family, ...] = (
    Family("SM_CLOCK", "gauge", "SM clock in MHz.", lambda g: g.vitals.clocks.sm),
    Family("MEM_CLOCK", "gauge", "Memory clock in MHz.", lambda g: g.vitals.clocks.memory),
    Family("MEMORY_TEMP", "gauge", "Memory temperature in C.", lambda g: g.vitals.temperature_memory),
    Family("GPU_TEMP", "gauge", "GPU temperature in C.", lambda g: g.vitals.temperature_gpu),
    Family("POWER_USAGE", "gauge", "Power draw in W.", lambda g: g.vitals.power_watts),
    Family(
        "TOTAL_ENERGY_CONSUMPTION",
        "counter",
        "Energy in mJ since the driver was loaded.",
        lambda g: _scaled(g.vitals.energy_joules, 1000),
    ),
    Family("GPU_UTIL", "gauge", "GPU utilisation in %.", lambda g: g.vitals.utilization_gpu),
    Family("MEM_COPY_UTIL", "gauge", "Memory utilisation in %.", lambda g: g.vitals.utilization_memory),
    Family("ENC_UTIL", "gauge", "Encoder utilisation in %.", lambda g: g.vitals.utilization_encoder),
    Family("DEC_UTIL", "gauge", "Decoder utilisation in %.", lambda g: g.vitals.utilization_decoder),
    Family("FB_FREE", "gauge", "Free memory in MiB.", lambda g: g.vitals.memory_free_mb),
    Family("FB_USED", "gauge", "Memory in use in MiB.", lambda g: g.vitals.memory_used_mb),
    Family("FB_RESERVED", "gauge", "Reserved memory in MiB.", lambda g: g.vitals.memory_reserved_mb),
)


@dataclass(frozen=True, slots=True)
class XidCount:
    """How often an Xid was reported for a GPU, and when last (Unix seconds)."""

    count: int
    last_at: float


XidCounts = Mapping[tuple[str, int], XidCount]


@dataclass(frozen=True, slots=True)
class CollectStats:
    """What the monitor says of itself: whether and how long, and how many sweeps failed so far."""

    failed_total: int
    nvml_code: int


def render_gpu_metrics(
    snapshot: GPUSnapshot,
    gpus: Sequence[JudgedGPU],
    xids: XidCounts,
    collect: CollectStats,
    now: float,
    hostname: str | None,
) -> str:
    """The Prometheus text of one snapshot; DCGM's names as well when a hostname for them is given."""
    shown = [gpu for gpu in gpus if gpu.reading.uuid is not None]
    lines: list[str] = []
    _render_info(lines, snapshot, shown)
    labels = [f'{{uuid="{_escape(gpu.reading.uuid)}"}}' for gpu in shown]
    for family in _SMI:
        _render(lines, "nvidia_smi_" + family.name, family, zip(labels, map(family.value, shown), strict=True))
    _render_processes(lines, shown)
    _render_xids(lines, xids)
    _render_own(lines, snapshot, gpus, shown, now)
    _render_collect(lines, snapshot, collect)
    if hostname is not None:
        _render_dcgm(lines, shown, xids, hostname)
    lines.append("")
    return "\n".join(lines)


def _render(lines: list[str], name: str, family: Family, samples: Iterable[tuple[str, float | None]]) -> None:
    found = [f"{name}{labels} {_number(value)}" for labels, value in samples if value is not None]
    if found:
        lines.append(f"# HELP {name} {family.help}")
        lines.append(f"# TYPE {name} {family.type}")
        lines.extend(found)


def _simple(lines: list[str], name: str, type_: str, help_: str, samples: Iterable[tuple[str, float | None]]) -> None:
    _render(lines, name, Family(name, type_, help_, lambda _: None), samples)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.10g}"


def _escape(text: str | None) -> str:
    return (text or "").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _labels(**labels: str | int | None) -> str:
    return (
        "{" + ",".join(f'{name}="{_escape(str(value))}"' for name, value in labels.items() if value is not None) + "}"
    )


def _render_info(lines: list[str], snapshot: GPUSnapshot, gpus: Sequence[JudgedGPU]) -> None:
    samples = [
        (
            _labels(
                uuid=gpu.reading.uuid,
                name=gpu.identity.name,
                index=gpu.reading.index,
                driver_version=snapshot.versions.driver,
                cuda_version=snapshot.versions.cuda,
                pci_bus_id=gpu.identity.pci_bus_id,
                source=snapshot.source,
            ),
            1.0,
        )
        for gpu in gpus
    ]
    _simple(
        lines,
        "nvidia_smi_gpu_info",
        "gauge",
        "What the GPU is; `source` tells real readings from simulated ones.",
        samples,
    )


def _render_processes(lines: list[str], gpus: Sequence[JudgedGPU]) -> None:
    infos, memory = [], []
    for gpu in gpus:
        for process in gpu.reading.processes or ():
            uuid = gpu.reading.uuid
            infos.append((_labels(uuid=uuid, pid=process.pid, user=process.user, type=process.kind), 1.0))
            memory.append((_labels(uuid=uuid, pid=process.pid), _scaled(process.memory_mb, _MIB)))
    _simple(lines, "nvidia_smi_compute_app_info", "gauge", "A process that holds memory of the GPU.", infos)
    _simple(lines, "nvidia_smi_compute_app_used_memory_bytes", "gauge", "Memory that the process holds.", memory)


def _render_xids(lines: list[str], xids: XidCounts) -> None:
    counts = [(_labels(uuid=uuid, xid=xid), float(seen.count)) for (uuid, xid), seen in xids.items()]
    times = [(_labels(uuid=uuid, xid=xid), seen.last_at) for (uuid, xid), seen in xids.items()]
    _simple(lines, "nvidia_smi_xid_errors_total", "counter", "Xid errors that the driver reported.", counts)
    _simple(lines, "nvidia_smi_xid_last_timestamp_seconds", "gauge", "When the Xid was last reported.", times)


def _render_own(
    lines: list[str], snapshot: GPUSnapshot, gpus: Sequence[JudgedGPU], shown: Sequence[JudgedGPU], now: float
) -> None:
    prefix = "diffusion_pipe_gpu_"
    ages = [
        (
            _labels(uuid=gpu.reading.uuid),
            None if gpu.reading.read_monotonic is None else round(now - gpu.reading.read_monotonic, 3),
        )
        for gpu in shown
    ]
    statuses = [(_labels(uuid=gpu.reading.uuid, status=gpu.judgement.status), 1.0) for gpu in shown]
    verdicts = [(_labels(uuid=gpu.reading.uuid, verdict=gpu.judgement.health.verdict), 1.0) for gpu in shown]
    available = [(_labels(uuid=gpu.reading.uuid), float(gpu.judgement.is_available)) for gpu in shown]
    tasks = [
        (_labels(uuid=gpu.reading.uuid, task_id=gpu.task.task_id, task_type=gpu.task.task_type), 1.0)
        for gpu in shown
        if gpu.task is not None
    ]
    _simple(lines, f"{prefix}reading_age_seconds", "gauge", "Age of the reading when it was written down.", ages)
    _simple(lines, f"{prefix}status", "gauge", "The status that the GPU has.", statuses)
    _simple(lines, f"{prefix}health", "gauge", "The verdict on the GPU.", verdicts)
    _simple(lines, f"{prefix}available", "gauge", "Whether the GPU can be had.", available)
    _simple(lines, f"{prefix}task", "gauge", "The task that holds the GPU.", tasks)
    _simple(lines, f"{prefix}count", "gauge", "GPUs that are known.", [("", float(len(gpus)))])
    _simple(
        lines,
        f"{prefix}stuck_calls",
        "gauge",
        "Calls to the driver that have not returned.",
        [("", float(snapshot.stuck))],
    )


def _render_collect(lines: list[str], snapshot: GPUSnapshot, collect: CollectStats) -> None:
    ok = float(snapshot.problem is None)
    _simple(lines, "nvidia_smi_last_collect_success", "gauge", "Whether the last sweep had readings.", [("", ok)])
    _simple(
        lines,
        "nvidia_smi_last_collect_duration_seconds",
        "gauge",
        "How long the last sweep took.",
        [("", snapshot.sweep_seconds)],
    )
    _simple(
        lines,
        "nvidia_smi_failed_scrapes_total",
        "counter",
        "Sweeps without readings.",
        [("", float(collect.failed_total))],
    )
    _simple(
        lines,
        "nvidia_smi_nvml_return_code",
        "gauge",
        "What NVML last answered as a whole; 0 is success.",
        [("", float(collect.nvml_code))],
    )


def _render_dcgm(lines: list[str], gpus: Sequence[JudgedGPU], xids: XidCounts, hostname: str) -> None:
    labels = [
        _labels(
            gpu=gpu.reading.index,
            UUID=gpu.reading.uuid,
            pci_bus_id=gpu.identity.pci_bus_id,
            device=f"nvidia{gpu.reading.index}",
            modelName=gpu.identity.name,
            Hostname=hostname,
            hostname=hostname,
        )
        for gpu in gpus
    ]
    for family in _DCGM:
        _render(lines, "DCGM_FI_DEV_" + family.name, family, zip(labels, map(family.value, gpus), strict=True))
    last = {uuid: xid for (uuid, xid), _ in sorted(xids.items(), key=lambda item: item[1].last_at)}
    samples = [(label, last.get(gpu.reading.uuid or "")) for label, gpu in zip(labels, gpus, strict=True)]
    _simple(lines, "DCGM_FI_DEV_XID_ERRORS", "gauge", "The last Xid error.", samples)
