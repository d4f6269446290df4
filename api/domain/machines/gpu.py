"""GPUs as the API shows them. Memory in MB (MiB, as nvidia-smi counts), °C, W, %, seconds; null is unknown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.domain.machines.hold import GPUClaim
from api.domain.machines.node import NodeStatus
from api.domain.machines.reading import Clocks, ECCErrors, MemoryRepair, MIGSlice, NVLink, ProcessKind, SourceName
from api.domain.reason import ReasonCode, ReasonOrText, code_of, message_of, text_of
from api.domain.tasks.task import TaskType


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

    verdict: Verdict  #: summary of all findings
    reasons: tuple[str, ...] = ()  #: findings as text; empty if it is healthy
    suggested_actions: tuple[str, ...] = ()  #: what to do about them
    reason_codes: tuple[ReasonCode | None, ...] = ()  #: one for each reason, for programs and translations
    action_codes: tuple[ReasonCode | None, ...] = ()  #: one for each suggested action, for programs and translations

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

    total: int | None  #: MB
    used: int | None  #: MB; without `reserved`, if that is known
    free: int | None  #: MB
    reserved: int | None  #: MB that the driver and the firmware use
    utilization: float | None  #: used share in %
    total_gb: float | None  #: `total` in GB
    free_gb: float | None  #: `free` in GB
    unified: bool  #: whether it is the host's memory


@dataclass(frozen=True, slots=True)
class GPUTemperature:
    """Temperatures in °C."""

    gpu: int | None  #: of the chip
    memory: int | None  #: of the memory; null for most consumer boards


@dataclass(frozen=True, slots=True)
class GPUTemperatureDetails:
    """Temperatures in °C, and the thresholds at which the GPU slows down and shuts down."""

    gpu: int | None  #: of the chip
    memory: int | None  #: of the memory; null for most consumer boards
    slowdown: int | None  #: at which it slows down
    shutdown: int | None  #: at which it switches off


@dataclass(frozen=True, slots=True)
class GPUUtilization:
    """Utilisation in %, averaged by the driver over 1/6 to 1 s."""

    gpu: int | None  #: share of time in which a program computed
    memory: int | None  #: share of time in which memory was read or written
    encoder: int | None  #: of the video encoder
    decoder: int | None  #: of the video decoder


@dataclass(frozen=True, slots=True)
class GPUPower:
    """Power in W, energy in J since the driver was loaded."""

    current: float | None  #: W
    limit: float | None  #: W, current setting
    default_limit: float | None  #: W, the vendor's setting
    min_limit: float | None  #: W, the lowest limit that can be set
    max_limit: float | None  #: W, the highest limit that can be set
    usage_percent: float | None  #: `current` as a share of `limit`
    energy_joules: float | None  #: since the driver was loaded


@dataclass(frozen=True, slots=True)
class GPUClocks:
    """Current and maximum clocks in MHz."""

    current: Clocks  #: as measured now
    max: Clocks  #: as the board permits


@dataclass(frozen=True, slots=True)
class GPUPCIe:
    """The PCIe link. Its speed may drop while the GPU is idle."""

    bus_id: str | None  #: address on the bus, as nvidia-smi shows it
    generation: int | None  #: generation of the link now
    max_generation: int | None  #: generation that board and host support
    width: int | None  #: lanes in use now
    max_width: int | None  #: lanes that board and host support


@dataclass(frozen=True, slots=True)
class GPUMIG:
    """Multi-instance GPU: the mode, and the slices with their own memory."""

    enabled: bool | None  #: whether it is divided now; null: it cannot be, or unknown
    pending: bool | None  #: the mode after the next reset
    slices: tuple[MIGSlice, ...]  #: empty if it is not divided


@dataclass(frozen=True, slots=True)
class CurrentTask:
    """The task that holds a GPU. Progress in %, remaining time in seconds."""

    task_id: str
    task_type: TaskType
    progress: float | None  #: null if unknown
    estimated_remaining_time: float | None  #: null if unknown
    started_at: datetime


@dataclass(frozen=True, slots=True)
class CurrentTaskDetails:
    """The task that holds a GPU, with the details of its registration."""

    task_id: str
    task_type: TaskType
    description: str | None
    pid: int | None  #: process id that it was registered with; null if none
    progress: float | None  #: in %; null if unknown
    estimated_remaining_time: float | None  #: seconds; null if unknown
    started_at: datetime
    start_time: datetime  #: equals `started_at`, for older clients


@dataclass(frozen=True, slots=True)
class ProcessOnGPU:
    """A process that uses memory of a GPU. `memory` and `host_memory` in MB; `command` is cut at 256 characters."""

    pid: int
    type: ProcessKind  #: how it uses the GPU
    memory: int | None  #: its memory on the GPU; null if the driver does not report it
    user: str | None  #: name of the user that runs it
    command: str | None  #: command line, at most 256 characters
    started_at: datetime | None  #: start of the process
    container_id: str | None  #: id of its container; null if it runs in none
    host_memory: int | None  #: its memory outside of the GPU
    gpu_instance_id: int | None  #: MIG slice that it uses; null without MIG
    task_id: str | None  #: the task that it belongs to; null if none
    unavailable: Mapping[str, str]  #: reason of each null field, by name


@dataclass(frozen=True, slots=True)
class GPUInfo:
    """One GPU in `/gpu/status`. `read_at` is the time of the reading; `stale` means that it is too old."""

    gpu_id: int | None
    uuid: str | None
    name: str | None
    memory: GPUMemory  #: in MB
    utilization_gpu: int | None  #: share of time in which a program computed, in %
    utilization_memory: int | None  #: share of time in which memory was read or written, in %
    temperature: GPUTemperature  #: in °C
    power_usage: float | None  #: W
    power_limit: float | None  #: W
    power_utilization: float | None  #: `power_usage` as a share of the limit, in %
    status: GPUStatus
    status_reason: str | None
    status_reason_code: ReasonCode | None  #: code and parameters of the reason, for programs and translations
    is_available: bool  #: whether a task can get it now
    current_task: CurrentTask | None  #: the task that holds it; null if none
    paused_until: datetime | None  #: no training gets it before this time; null if it is not paused
    claims: tuple[GPUClaim, ...]  #: other programs that use it, as they announced; empty if none
    driver_version: str | None
    cuda_version: str | None
    stale: bool
    read_at: datetime | None  #: time of the reading; null if there was none yet


@dataclass(frozen=True, slots=True)
class NodeGPUInfo(GPUInfo):
    """One GPU in a fleet of several nodes."""

    node: str


@dataclass(frozen=True, slots=True)
class GPUSummary:
    """The machine in figures. Memory in MB over the GPUs whose memory is known; utilisation in %."""

    total_gpus: int  #: number of all GPUs
    available_gpus: int  #: number of GPUs that a task can get now
    busy_gpus: int  #: number of GPUs that a task or another program uses
    total_memory: int | None  #: MB; null if no GPU reports it
    available_memory: int | None  #: MB free on the available GPUs; null if unknown
    memory_utilization: float | None  #: used share of all memory in %
    timestamp: datetime | None  #: time of the readings; null if there were none yet
    updated_at: datetime  #: time of this answer


@dataclass(frozen=True, slots=True)
class GPUStatusResponse:
    """Every GPU. `source_problem` is the reason if the source fails as a whole."""

    gpus: tuple[NodeGPUInfo | GPUInfo, ...]  #: all GPUs
    summary: GPUSummary  #: the same in figures
    timestamp: datetime | None
    source: SourceName
    source_problem: str | None  #: why there are no readings; null if there are
    source_problem_code: ReasonCode | None  #: code and parameters of the problem, for programs and translations
    stale: bool  #: whether any reading is too old


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """The status of a node, listed beside its GPUs."""

    name: str
    state: NodeStatus  #: whether it works and accepts tasks
    reason: str | None  #: why it is not up; null if it is
    reason_code: ReasonCode | None
    silent_seconds: int  #: seconds since its last report; 0 for this server itself


@dataclass(frozen=True, slots=True)
class FleetStatusResponse(GPUStatusResponse):
    """Every GPU of several nodes, and the nodes."""

    nodes: tuple[NodeSummary, ...]  #: the machines


@dataclass(frozen=True, slots=True)
class AvailableGPU:
    """A GPU that is available now, with the model types that fit in its free memory.

    `startable`: whether this service can start trainings on it. If not, the reason follows.
    """

    gpu_id: int | None
    uuid: str | None
    name: str | None
    memory_total: int | None  #: MB
    memory_free: int | None  #: MB
    memory_total_gb: float | None  #: the same in GB
    memory_free_gb: float | None  #: the same in GB
    status: GPUStatus
    utilization_gpu: int | None  #: %
    temperature_gpu: int | None  #: °C
    driver_version: str | None
    recommended_for: tuple[str, ...]  #: model types whose LoRA fits in its free memory
    startable: bool  #: whether this service can start a training on it
    startable_reason: str | None  #: why not; null if it can
    startable_reason_code: ReasonCode | None  #: code of the reason, for programs and translations


@dataclass(frozen=True, slots=True)
class NodeAvailableGPU(AvailableGPU):
    """An available GPU in a fleet of several nodes."""

    node: str


@dataclass(frozen=True, slots=True)
class AvailableGPUResponse:
    """The GPUs that satisfy the request, best first.

    `total_available` is their number before `count` limits the list.
    """

    available_gpus: tuple[NodeAvailableGPU | AvailableGPU, ...]  #: best first
    total_available: int  #: their number before `count` limits the list
    timestamp: datetime | None
    source: SourceName


@dataclass(frozen=True, slots=True)
class GPUDetails:
    """All known facts about one GPU. `unavailable` has the reason for each null field."""

    gpu_id: int | None
    uuid: str | None
    name: str | None
    serial: str | None  #: serial number of the board; null for most consumer boards
    architecture: str | None  #: such as `ada`
    compute_capability: str | None  #: of CUDA, such as 8.9
    memory: GPUMemory  #: in MB
    utilization: GPUUtilization  #: in %
    temperature: GPUTemperatureDetails  #: in °C
    power: GPUPower  #: in W
    fan_speed: int | None  #: intended speed in %; null without a fan
    clocks: GPUClocks  #: in MHz
    pstate: int | None  #: performance state: 0 is the highest, 15 the lowest
    throttle_reasons: tuple[str, ...] | None  #: why its clocks are reduced; empty: they are not; null: unknown
    ecc: ECCErrors | None  #: errors of its memory; null: unknown
    memory_repair: MemoryRepair | None  #: retired and remapped parts of its memory; null: unknown
    pcie: GPUPCIe  #: the link to the host
    nvlink: tuple[NVLink, ...] | None  #: links to other GPUs; null: unknown
    mig: GPUMIG  #: division into slices
    compute_mode: str | None  #: which processes may use it, as set in the driver
    persistence_mode: bool | None  #: whether the driver stays loaded without programs
    processes: tuple[ProcessOnGPU, ...] | None  #: programs that use its memory; null: the driver does not list them
    health: GPUHealth  #: verdict on its condition, with reasons
    status: GPUStatus
    status_reason: str | None
    status_reason_code: ReasonCode | None  #: code and parameters of the reason, for programs and translations
    is_available: bool  #: whether a task can get it now
    current_task: CurrentTaskDetails | None  #: the task that holds it; null if none
    paused_until: datetime | None  #: no training gets it before this time; null if it is not paused
    claims: tuple[GPUClaim, ...]  #: other programs that use it, as they announced; empty if none
    driver_version: str | None
    cuda_version: str | None
    nvml_version: str | None  #: version of NVIDIA's management library
    source: SourceName
    stale: bool
    timestamp: datetime | None  #: time of the reading; null if there was none yet
    unavailable: Mapping[str, str]  #: reason of each null field, by its path, such as `power.current`


@dataclass(frozen=True, slots=True)
class NodeGPUDetails(GPUDetails):
    """All known facts about one GPU in a fleet of several nodes."""

    node: str


@dataclass(frozen=True, slots=True)
class GPUProcesses:
    """The processes on one GPU. Null with a reason if they cannot be listed."""

    gpu_id: int | None
    uuid: str | None
    processes: tuple[ProcessOnGPU, ...] | None  #: null: the driver does not list them
    note: str | None  #: a remark on the list, such as processes that are not visible; null if none
    note_code: ReasonCode | None  #: code of the remark
    unavailable: Mapping[str, str]  #: why `processes` is null; otherwise empty
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
