"""Readings of one GPU: identity once, vitals every sweep, condition and processes less often.

None means unknown. `unavailable` then has the reason, by the field's path in `/gpu/{id}/details` ("power.current"):
`unsupported`, `no_permission`, `unified_memory`, `implausible`, `disabled`, `process_not_visible`, `simulated`, or
`nvml_error_<code>`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

#: Plausibility limits: no GPU has 16 TiB (2^24 MiB), and no machine 512 GPUs.
MAX_MEMORY_MB = 1 << 24
MAX_GPUS = 512


class SourceName(StrEnum):
    """The source of readings."""

    NVML = "nvml"
    SIMULATED = "simulated"
    NONE = "none"  #: a machine without GPUs by configuration
    UNKNOWN = "unknown"  #: a source of a newer node that this version does not know


class FaultKind(StrEnum):
    """A failure of one GPU. Others may still work."""

    LOST = "lost"
    NO_PERMISSION = "no_permission"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class DriverVersions:
    """Versions of the driver and its libraries, the same for all GPUs of a machine."""

    driver: str | None = None
    cuda: str | None = None
    nvml: str | None = None
    unavailable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Clock frequencies in MHz."""

    graphics: int | None = None  #: of the graphics units
    sm: int | None = None  #: of the compute units
    memory: int | None = None  #: of the memory
    video: int | None = None  #: of the video units


@dataclass(frozen=True, slots=True)
class GPUIdentity:
    """Properties that do not change while the driver runs, read once after each initialisation."""

    index: int
    uuid: str
    name: str | None = None
    pci_bus_id: str | None = None
    serial: str | None = None
    architecture: str | None = None
    compute_capability: str | None = None
    power_default_limit_watts: float | None = None
    power_min_limit_watts: float | None = None
    power_max_limit_watts: float | None = None
    temperature_slowdown: int | None = None
    temperature_shutdown: int | None = None
    clocks_max: Clocks = Clocks()
    pcie_max_generation: int | None = None
    pcie_max_width: int | None = None
    is_integrated: bool = False  #: part of the host's chip, with shared memory
    unavailable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GPUVitals:
    """Values that change all the time. Memory in MiB, utilisation in %, temperatures in °C, clocks in MHz."""

    memory_total_mb: int | None = None
    memory_used_mb: int | None = None
    memory_free_mb: int | None = None
    memory_reserved_mb: int | None = None
    memory_unified: bool = False
    utilization_gpu: int | None = None
    utilization_memory: int | None = None
    utilization_encoder: int | None = None
    utilization_decoder: int | None = None
    temperature_gpu: int | None = None
    temperature_memory: int | None = None
    power_watts: float | None = None
    energy_joules: float | None = None
    fan_percent: int | None = None
    clocks: Clocks = Clocks()
    pstate: int | None = None
    throttle_reasons: tuple[str, ...] | None = None
    recovery_action: int | None = None  #: recovery action requested by the driver, as NVML's number; 0: none
    pcie_rx_bytes: int | None = None  #: counters, which may wrap
    pcie_tx_bytes: int | None = None
    pcie_rx_bytes_per_second: float | None = None  #: average since the previous reading
    pcie_tx_bytes_per_second: float | None = None
    unavailable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ECCErrors:
    """Memory errors since the driver was loaded (volatile) and over the life of the board (aggregate)."""

    enabled: bool | None = None  #: null if the board has no ECC
    corrected_volatile: int | None = None  #: corrected, since the driver was loaded
    uncorrected_volatile: int | None = None  #: not corrected, since the driver was loaded
    corrected_aggregate: int | None = None  #: corrected, over the life of the board
    uncorrected_aggregate: int | None = None  #: not corrected, over the life of the board


@dataclass(frozen=True, slots=True)
class MemoryRepair:
    """Retired pages (up to Volta) and remapped rows (since Ampere)."""

    retired_pages: int | None = None  #: number of pages that are no longer used
    retired_pages_pending: bool | None = None  #: whether more are retired at the next reset
    remapped_rows_corrected: int | None = None  #: rows replaced after errors that were corrected
    remapped_rows_uncorrected: int | None = None  #: rows replaced after errors that were not
    remapped_rows_pending: bool | None = None  #: whether more are replaced at the next reset
    remapped_rows_failure: bool | None = None  #: whether a row could not be replaced: the board is faulty


@dataclass(frozen=True, slots=True)
class MIGSlice:
    """One MIG device: a part of a GPU with its own memory. NVML reports no utilisation for it."""

    uuid: str | None
    name: str | None
    gpu_instance_id: int | None  #: its GPU instance
    compute_instance_id: int | None  #: its compute instance
    memory_total_mb: int | None  #: MB; null if unknown
    memory_used_mb: int | None  #: MB; null if unknown
    memory_free_mb: int | None  #: MB; null if unknown
    utilization_gpu: int | None = None  #: always null: NVML does not report it


@dataclass(frozen=True, slots=True)
class NVLink:
    """One NVLink port."""

    link: int  #: number of the port
    active: bool  #: whether it is connected and enabled


@dataclass(frozen=True, slots=True)
class GPUCondition:
    """Values that change rarely: limits, modes, links and memory errors."""

    power_limit_watts: float | None = None
    power_enforced_limit_watts: float | None = None
    ecc: ECCErrors | None = None
    repair: MemoryRepair | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    nvlinks: tuple[NVLink, ...] | None = None
    compute_mode: str | None = None
    persistence_mode: bool | None = None
    mig_enabled: bool | None = None
    mig_pending: bool | None = None
    mig_slices: tuple[MIGSlice, ...] = ()
    fabric_state: int | None = None  #: NVML's number: 1 not started, 2 in progress, 3 completed
    unavailable: Mapping[str, str] = field(default_factory=dict)


class ProcessKind(StrEnum):
    """How a process uses a GPU."""

    COMPUTE = "compute"
    GRAPHICS = "graphics"
    BOTH = "compute+graphics"
    UNKNOWN = "unknown"  #: a kind from a newer node that this version does not know


@dataclass(frozen=True, slots=True)
class GPUProcess:
    """A process that uses memory of a GPU."""

    pid: int
    kind: ProcessKind
    memory_mb: int | None
    user: str | None
    command: str | None
    started_at: datetime | None
    container_id: str | None
    host_memory_mb: int | None
    gpu_instance_id: int | None = None
    ancestors: frozenset[int] = frozenset()
    unavailable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class XidEvent:
    """An error that the driver reported for a GPU. `uuid` is None if the driver did not report it."""

    uuid: str | None
    xid: int
