"""GPUs as the API shows them. Memory in MB (MiB, as nvidia-smi counts), °C, W, %, seconds; null is unknown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.domain.node import NodeStatus
from api.domain.reading import Clocks, ECCErrors, MemoryRepair, MIGSlice, NVLink, ProcessKind, SourceName
from api.domain.reason import ReasonCode, ReasonOrText, code_of, message_of, text_of
from api.domain.task import TaskType


class GPUStatus(StrEnum):
    """The status of a GPU, which decides whether a task can get it."""

    AVAILABLE = "available"  #: free and healthy, with a recent reading
    TRAINING = "training"  #: held by a training
    PREPROCESSING = "preprocessing"  #: held by a preprocessing task
    BUSY = "busy"  #: used by a process, or held by a task, of another kind
    DRAINING = "draining"  #: its task has ended, but its memory is not free yet
    LOST = "lost"  #: the driver cannot reach it
    UNKNOWN = "unknown"  #: not known to be free: no recent reading, or unhealthy


class Verdict(StrEnum):
    """The health of a GPU."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"  #: works, but needs attention
    UNHEALTHY = "unhealthy"  #: must not be used for new tasks
    UNKNOWN = "unknown"  #: no recent reading


@dataclass(frozen=True, slots=True)
class GPUHealth:
    """The verdict with its reasons and suggested actions."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    suggested_actions: tuple[str, ...] = ()
    reason_codes: tuple[ReasonCode | None, ...] = ()  #: one for each reason, for programs and translations
    action_codes: tuple[ReasonCode | None, ...] = ()

    @classmethod
    def of(cls, verdict: Verdict, reasons: Iterable[ReasonOrText], actions: Iterable[ReasonOrText] = ()) -> "GPUHealth":
        """Return the health with this verdict. Actions that several findings suggest are listed once."""
        why, what = tuple(reasons), tuple({text_of(action): action for action in actions}.values())
        return cls(
            verdict,
            tuple(map(text_of, why)),
            tuple(map(text_of, what)),
            tuple(map(code_of, why)),
            tuple(map(code_of, what)),
        )

    @property
    def messages(self) -> list[ReasonOrText]:
        """The reasons, each with its code."""
        return list(map(message_of, self.reasons, self.reason_codes))


@dataclass(frozen=True, slots=True)
class GPUMemory:
    """Memory in MB. `unified`: the GPU shares the host's memory, and the figures are the host's."""

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
    """Temperatures in °C, and the thresholds at which the GPU slows down and shuts down."""

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
    """Current and maximum clocks in MHz."""

    current: Clocks
    max: Clocks


@dataclass(frozen=True, slots=True)
class GPUPCIe:
    """The PCIe link. Its speed may drop while the GPU is idle."""

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
    """The task that holds a GPU. Progress in %, remaining time in seconds."""

    task_id: str
    task_type: TaskType
    progress: float | None
    estimated_remaining_time: float | None
    started_at: datetime


@dataclass(frozen=True, slots=True)
class CurrentTaskDetails:
    """The task that holds a GPU, with the details of its registration."""

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
    """A process that uses memory of a GPU. `memory` and `host_memory` in MB; `command` is cut at 256 characters."""

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
    """One GPU in `/gpu/status`. `read_at` is the time of the reading; `stale` means that it is too old."""

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
    status_reason_code: ReasonCode | None  #: code and parameters of the reason, for programs and translations
    is_available: bool
    current_task: CurrentTask | None
    driver_version: str | None
    cuda_version: str | None
    stale: bool
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class NodeGPUInfo(GPUInfo):
    """One GPU in a fleet of several nodes."""

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
    """Every GPU. `source_problem` is the reason if the source fails as a whole."""

    gpus: tuple[NodeGPUInfo | GPUInfo, ...]
    summary: GPUSummary
    timestamp: datetime | None
    source: SourceName
    source_problem: str | None
    source_problem_code: ReasonCode | None  #: code and parameters of the problem, for programs and translations
    stale: bool


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """The status of a node, listed beside its GPUs."""

    name: str
    state: NodeStatus
    reason: str | None
    reason_code: ReasonCode | None
    silent_seconds: int  #: seconds since its last report; 0 for this server itself


@dataclass(frozen=True, slots=True)
class FleetStatusResponse(GPUStatusResponse):
    """Every GPU of several nodes, and the nodes."""

    nodes: tuple[NodeSummary, ...]


@dataclass(frozen=True, slots=True)
class AvailableGPU:
    """A GPU that is available now, with the model types that fit in its free memory.

    `startable`: whether this service can start trainings on it. If not, the reason follows.
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
    """An available GPU in a fleet of several nodes."""

    node: str


@dataclass(frozen=True, slots=True)
class AvailableGPUResponse:
    """The GPUs that satisfy the request, best first.

    `total_available` is their number before `count` limits the list.
    """

    available_gpus: tuple[NodeAvailableGPU | AvailableGPU, ...]
    total_available: int
    timestamp: datetime | None
    source: SourceName


@dataclass(frozen=True, slots=True)
class GPUDetails:
    """All known facts about one GPU. `unavailable` has the reason for each null field."""

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
    status_reason_code: ReasonCode | None  #: code and parameters of the reason, for programs and translations
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
    """All known facts about one GPU in a fleet of several nodes."""

    node: str


@dataclass(frozen=True, slots=True)
class GPUProcesses:
    """The processes on one GPU. Null with a reason if they cannot be listed."""

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
    """The processes on one GPU in a fleet of several nodes."""

    node: str


@dataclass(frozen=True, slots=True)
class GPUOffer:
    """A GPU as the scheduler sees it. `held_by` is the task of this service that has it and will free it."""

    node: str  #: name of its node in the database
    index: int
    uuid: str
    name: str | None
    total_mb: int | None
    free_mb: int | None
    is_available: bool
    status: GPUStatus
    reason: ReasonOrText | None
    held_by: str | None

    @property
    def names(self) -> tuple[str, str, str]:
        """The texts by which a request may name the GPU: index, node and index, or UUID."""
        return str(self.index), f"{self.node}:{self.index}", self.uuid
