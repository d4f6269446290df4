"""GPUs as the API shows them. Memory in MB (MiB, as nvidia-smi counts), °C, W, %, seconds; null is unknown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.domain.node import NodeStatus
from api.domain.reading import Clocks, ECCErrors, MemoryRepair, MIGSlice, NVLink, ProcessKind, SourceName
from api.domain.reason import ReasonCode, Words, code_of, text_of, words_of
from api.domain.task import TaskType


class GPUStatus(StrEnum):
    """What a GPU is doing, and so whether a task can get it."""

    AVAILABLE = "available"  #: free, fresh and healthy
    TRAINING = "training"  #: held by a training task
    PREPROCESSING = "preprocessing"  #: held by a preprocessing task
    BUSY = "busy"  #: used by a process, or held by a task, of another kind
    DRAINING = "draining"  #: its task has ended, the memory is not yet back
    LOST = "lost"  #: the driver cannot reach it any more
    UNKNOWN = "unknown"  #: nobody can say that it is free: no fresh reading, or it is unhealthy


class Verdict(StrEnum):
    """How well a GPU is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"  #: it works, but look after it
    UNHEALTHY = "unhealthy"  #: do not start anything on it
    UNKNOWN = "unknown"  #: no fresh reading to judge by


@dataclass(frozen=True, slots=True)
class GPUHealth:
    """The verdict, what it rests on, and what to do about it."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    suggested_actions: tuple[str, ...] = ()
    reason_codes: tuple[ReasonCode | None, ...] = ()  #: one for each reason, for programs and translations
    action_codes: tuple[ReasonCode | None, ...] = ()

    @classmethod
    def of(cls, verdict: Verdict, reasons: Iterable[Words], actions: Iterable[Words] = ()) -> "GPUHealth":
        """The health with this verdict; an action that several findings ask for is named once."""
        why, what = tuple(reasons), tuple({text_of(action): action for action in actions}.values())
        return cls(
            verdict,
            tuple(map(text_of, why)),
            tuple(map(text_of, what)),
            tuple(map(code_of, why)),
            tuple(map(code_of, what)),
        )

    @property
    def words(self) -> list[Words]:
        """The reasons, each with its code."""
        return list(map(words_of, self.reasons, self.reason_codes))


@dataclass(frozen=True, slots=True)
class GPUMemory:
    """Memory in MB. `unified`: the GPU shares the host's memory, and these are the host's figures."""

    total: int | None
    used: int | None
    free: int | None
    reserved: int | None
    utilization: float | None
    total_gb: float | None
    free_gb: float | None
    unified: bool


@dataclass(frozen=True, slots=True)
class GPUTemperature:
    """Temperatures in °C."""

    gpu: int | None
    memory: int | None


@dataclass(frozen=True, slots=True)
class GPUTemperatureDetails:
    """Temperatures in °C, with the ones at which the GPU slows down and shuts down."""

    gpu: int | None
    memory: int | None
    slowdown: int | None
    shutdown: int | None


@dataclass(frozen=True, slots=True)
class GPUUtilization:
    """Utilisation in %, averaged by the driver over 1/6 to 1 s."""

    gpu: int | None
    memory: int | None
    encoder: int | None
    decoder: int | None


@dataclass(frozen=True, slots=True)
class GPUPower:
    """Power in W, energy in J since the driver was loaded."""

    current: float | None
    limit: float | None
    default_limit: float | None
    min_limit: float | None
    max_limit: float | None
    usage_percent: float | None
    energy_joules: float | None


@dataclass(frozen=True, slots=True)
class GPUClocks:
    """Clocks in MHz, now and at most."""

    current: Clocks
    max: Clocks


@dataclass(frozen=True, slots=True)
class GPUPCIe:
    """The PCIe link. It may train down while idle."""

    bus_id: str | None
    generation: int | None
    max_generation: int | None
    width: int | None
    max_width: int | None


@dataclass(frozen=True, slots=True)
class GPUMIG:
    """Multi-instance GPU: the mode, and the slices with their own memory."""

    enabled: bool | None
    pending: bool | None
    slices: tuple[MIGSlice, ...]


@dataclass(frozen=True, slots=True)
class CurrentTask:
    """The task that holds a GPU. Progress in %, time left in seconds."""

    task_id: str
    task_type: TaskType
    progress: float | None
    estimated_remaining_time: float | None
    started_at: datetime


@dataclass(frozen=True, slots=True)
class CurrentTaskDetails:
    """The task that holds a GPU, with what was said about it when it was registered."""

    task_id: str
    task_type: TaskType
    description: str | None
    pid: int | None
    progress: float | None
    estimated_remaining_time: float | None
    started_at: datetime
    start_time: datetime


@dataclass(frozen=True, slots=True)
class ProcessOnGPU:
    """Who holds memory of a GPU. `memory` and `host_memory` in MB; `command` is cut at 256 characters."""

    pid: int
    type: ProcessKind
    memory: int | None
    user: str | None
    command: str | None
    started_at: datetime | None
    container_id: str | None
    host_memory: int | None
    gpu_instance_id: int | None
    task_id: str | None
    unavailable: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GPUInfo:
    """One GPU in `/gpu/status`. `read_at` is when its values were read; `stale` when that is too long ago."""

    gpu_id: int | None
    uuid: str | None
    name: str | None
    memory: GPUMemory
    utilization_gpu: int | None
    utilization_memory: int | None
    temperature: GPUTemperature
    power_usage: float | None
    power_limit: float | None
    power_utilization: float | None
    status: GPUStatus
    status_reason: str | None
    status_reason_code: ReasonCode | None  #: the same for programs, and in other languages
    is_available: bool
    current_task: CurrentTask | None
    driver_version: str | None
    cuda_version: str | None
    stale: bool
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class NodeGPUInfo(GPUInfo):
    """One GPU of several machines."""

    node: str


@dataclass(frozen=True, slots=True)
class GPUSummary:
    """The machine in figures. Memory in MB over the GPUs whose memory is known; utilisation in %."""

    total_gpus: int
    available_gpus: int
    busy_gpus: int
    total_memory: int | None
    available_memory: int | None
    memory_utilization: float | None
    timestamp: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class GPUStatusResponse:
    """Every GPU. `source_problem` says why there are no fresh readings, when the whole source fails."""

    gpus: tuple[NodeGPUInfo | GPUInfo, ...]
    summary: GPUSummary
    timestamp: datetime | None
    source: SourceName
    source_problem: str | None
    source_problem_code: ReasonCode | None  #: the same for programs, and in other languages
    stale: bool


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """A machine beside its GPUs: whether it is there, and since when it is silent."""

    name: str
    state: NodeStatus
    reason: str | None
    reason_code: ReasonCode | None
    silent_seconds: int  #: since it was last heard; 0 for this server's own


@dataclass(frozen=True, slots=True)
class FleetStatusResponse(GPUStatusResponse):
    """Every GPU of several machines, and the machines."""

    nodes: tuple[NodeSummary, ...]


@dataclass(frozen=True, slots=True)
class AvailableGPU:
    """A GPU that can be had now, with the model types that fit in its free memory.

    `startable`: whether this service can start trainings on it; the reason says why not.
    """

    gpu_id: int | None
    uuid: str | None
    name: str | None
    memory_total: int | None
    memory_free: int | None
    memory_total_gb: float | None
    memory_free_gb: float | None
    status: GPUStatus
    utilization_gpu: int | None
    temperature_gpu: int | None
    driver_version: str | None
    recommended_for: tuple[str, ...]
    startable: bool
    startable_reason: str | None
    startable_reason_code: ReasonCode | None


@dataclass(frozen=True, slots=True)
class NodeAvailableGPU(AvailableGPU):
    """An available GPU where there are several machines."""

    node: str


@dataclass(frozen=True, slots=True)
class AvailableGPUResponse:
    """The GPUs that satisfy the request, best first. `total_available` counts them before `count` cut the list."""

    available_gpus: tuple[NodeAvailableGPU | AvailableGPU, ...]
    total_available: int
    timestamp: datetime | None
    source: SourceName


@dataclass(frozen=True, slots=True)
class GPUDetails:
    """Everything that is known about one GPU; `unavailable` says for each null field why it is null."""

    gpu_id: int | None
    uuid: str | None
    name: str | None
    serial: str | None
    architecture: str | None
    compute_capability: str | None
    memory: GPUMemory
    utilization: GPUUtilization
    temperature: GPUTemperatureDetails
    power: GPUPower
    fan_speed: int | None
    clocks: GPUClocks
    pstate: int | None
    throttle_reasons: tuple[str, ...] | None
    ecc: ECCErrors | None
    memory_repair: MemoryRepair | None
    pcie: GPUPCIe
    nvlink: tuple[NVLink, ...] | None
    mig: GPUMIG
    compute_mode: str | None
    persistence_mode: bool | None
    processes: tuple[ProcessOnGPU, ...] | None
    health: GPUHealth
    status: GPUStatus
    status_reason: str | None
    status_reason_code: ReasonCode | None  #: the same for programs, and in other languages
    is_available: bool
    current_task: CurrentTaskDetails | None
    driver_version: str | None
    cuda_version: str | None
    nvml_version: str | None
    source: SourceName
    stale: bool
    timestamp: datetime | None
    unavailable: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NodeGPUDetails(GPUDetails):
    """Everything about one GPU of several machines."""

    node: str


@dataclass(frozen=True, slots=True)
class GPUProcesses:
    """The processes on one GPU; null when they cannot be listed, with the reason."""

    gpu_id: int | None
    uuid: str | None
    processes: tuple[ProcessOnGPU, ...] | None
    note: str | None
    note_code: ReasonCode | None
    unavailable: Mapping[str, str]
    timestamp: datetime | None
    source: SourceName


@dataclass(frozen=True, slots=True)
class NodeGPUProcesses(GPUProcesses):
    """The processes on one GPU of several machines."""

    node: str


@dataclass(frozen=True, slots=True)
class GPUOffer:
    """A GPU as the scheduler sees it. `held_by`: the task of ours that has it, so that it will come free."""

    node: str  #: the machine that it is in, as the database names it
    index: int
    uuid: str
    name: str | None
    total_mb: int | None
    free_mb: int | None
    is_available: bool
    status: GPUStatus
    reason: Words | None
    held_by: str | None

    @property
    def names(self) -> tuple[str, str, str]:
        """The texts by which a request may name the GPU: its index, that with its node, and its UUID."""
        return str(self.index), f"{self.node}:{self.index}", self.uuid
