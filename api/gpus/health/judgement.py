"""Derive a GPU's status, availability and health from its reading. Pure functions."""

from dataclasses import dataclass, field
from datetime import datetime

from api.domain.machines.gpu import GPUHealth, GPUStatus, Verdict
from api.domain.machines.hold import GPUClaim
from api.domain.machines.reading import FaultKind, GPUCondition, GPUIdentity, GPUVitals
from api.domain.reason import Reason, ReasonCode, ReasonOrText, message_of
from api.domain.tasks.task import RegisteredTask, TaskType
from api.gpus.health.circumstances import GPUCircumstances, NeighbourRest
from api.gpus.health.health import LOST, judge_health
from api.gpus.sharing.foreign_use import describe_use
from api.gpus.snapshot import GPUReading

#: Seconds for which a GPU counts as draining after its task ended; after that, used memory means another process.
DRAINING_SECONDS = 60.0

_STATUS_BY_TASK = {
    TaskType.TRAINING: GPUStatus.TRAINING,
    TaskType.PREPROCESSING: GPUStatus.PREPROCESSING,
    TaskType.CACHE: GPUStatus.PREPROCESSING,
    TaskType.REHEARSAL: GPUStatus.TRAINING,
    TaskType.EXPORT: GPUStatus.TRAINING,
}

#: The reason code for an unknown GPU whose UUID belongs to another GPU.
DUPLICATE_UUID = "uuid_elsewhere"

# Replacements for missing data, so that every field has one expression.
_NO_IDENTITY = GPUIdentity(index=-1, uuid="")
_NO_VITALS = GPUVitals()
_NO_CONDITION = GPUCondition()


@dataclass(frozen=True, slots=True)
class Judgement:
    """The status of a GPU with its reason, and its health."""

    status: GPUStatus
    reason: str | None
    said: ReasonCode | None  #: the code of the reason
    health: GPUHealth
    stale: bool

    @property
    def message(self) -> ReasonOrText | None:
        """The reason with its code, or None."""
        return None if self.reason is None else message_of(self.reason, self.said)

    @property
    def is_available(self) -> bool:
        return self.status is GPUStatus.AVAILABLE


@dataclass(frozen=True, slots=True)
class JudgedGPU:
    """A GPU with all data for its answers."""

    reading: GPUReading
    judgement: Judgement
    task: RegisteredTask | None
    node: str  #: its machine, as the database names it
    hides_task: bool = False  #: a task holds it that the reader may not see
    paused_until: datetime | None = None  #: no training gets it before; None: it is not paused
    claims: tuple[GPUClaim, ...] = ()  #: of other programs, in force
    rest: NeighbourRest | None = None  #: what a neighbour still holds, and counts as free
    identity: GPUIdentity = field(init=False)
    vitals: GPUVitals = field(init=False)
    condition: GPUCondition = field(init=False)

    def __post_init__(self) -> None:
        # Attributes, because hundreds of accesses per sweep would be slower as properties.
        object.__setattr__(self, "identity", self.reading.identity or _NO_IDENTITY)
        object.__setattr__(self, "vitals", self.reading.vitals or _NO_VITALS)
        object.__setattr__(self, "condition", self.reading.condition or _NO_CONDITION)

    @property
    def is_twin(self) -> bool:
        """Whether its UUID belongs to another GPU: lookups by that UUID return the other one."""
        return self.judgement.said is not None and self.judgement.said.code == DUPLICATE_UUID

    @property
    def power_limit(self) -> float | None:
        """The effective limit in W: the lower of the configured limit and the board's maximum."""
        enforced = self.condition.power_enforced_limit_watts
        return self.condition.power_limit_watts if enforced is None else enforced


def judge(gpu: GPUReading, around: GPUCircumstances) -> Judgement:
    """Return the judgement of one GPU."""
    stale = is_stale(gpu, around.now, around.max_age)
    health = judge_health(gpu, around, stale)
    status, reason = _status(gpu, around, stale, health)
    if reason is None and health.verdict is Verdict.DEGRADED:
        reason = Reason.of("{reasons}", "degraded", reasons=health.messages)
    text, said = (None, None) if reason is None else (reason.text, reason.said)
    return Judgement(status=status, reason=text, said=said, health=health, stale=stale)


def is_stale(gpu: GPUReading, now: float, max_age: float) -> bool:
    """Return whether a reading is too old to act on. A lost GPU has no values, so it is never stale."""
    if gpu.fault is FaultKind.LOST:
        return False
    return gpu.read_monotonic is None or now - gpu.read_monotonic > max_age


_Judged = tuple[GPUStatus, Reason | None]


def _status(gpu: GPUReading, around: GPUCircumstances, stale: bool, health: GPUHealth) -> _Judged:
    unknown = _why_unknown(gpu, around, stale)
    if unknown is not None:
        return unknown
    if not around.holders_known:
        return GPUStatus.UNKNOWN, Reason.of("who holds it is not known: the database cannot be read", "holders_unknown")
    taken = _taken(around)
    if taken is not None:
        return taken
    if gpu.vitals is None or gpu.vitals.memory_used_mb is None:
        return GPUStatus.UNKNOWN, _why_memory_is_unknown(gpu.vitals)
    use = describe_use(gpu, () if around.rest is None else around.rest.pids)
    if use is not None and around.draining_for is not None and around.draining_for < DRAINING_SECONDS:
        return GPUStatus.DRAINING, Reason.of(
            "its task has ended, but {mb} MB are still in use", "draining", mb=f"{gpu.vitals.memory_used_mb:,}"
        )
    if use is not None:
        return GPUStatus.BUSY, use
    if gpu.processes is None:
        # An unlisted process is possible: a small model uses little memory.
        why = gpu.processes_unlisted or "not read yet"
        return GPUStatus.UNKNOWN, Reason.of("the processes on it cannot be read ({why})", "processes_unknown", why=why)
    return _idle(gpu, around, health)


def _idle(gpu: GPUReading, around: GPUCircumstances, health: GPUHealth) -> _Judged:
    """Return the status of a GPU that is not in use."""
    if gpu.condition is not None and gpu.condition.compute_mode == "prohibited":
        return GPUStatus.BUSY, Reason.of(
            "its compute mode is prohibited: `nvidia-smi --compute-mode=DEFAULT` opens it", "compute_mode_prohibited"
        )
    if health.verdict is Verdict.UNHEALTHY:
        return GPUStatus.UNKNOWN, Reason.of("unhealthy: {why}", "unhealthy", why=health.messages)
    if around.drain is not None:
        return GPUStatus.BUSY, Reason.of("its node is drained: {why}", "node_drained", why=around.drain)
    return GPUStatus.AVAILABLE, None if around.rest is None else describe_rest(around.rest)


def describe_rest(rest: NeighbourRest) -> Reason:
    """Describe what a neighbour still holds."""
    if rest.memory_mb is None:
        return Reason.of("{name} was asked to free its memory", "neighbour_freed", name=rest.name)
    return Reason.of(
        "{name} was asked to free its memory, and still holds {mb} MB",
        "neighbour_rest",
        name=rest.name,
        mb=f"{rest.memory_mb:,}",
    )


def _held(task: RegisteredTask) -> _Judged:
    if task.hold is not None:
        return GPUStatus.BUSY, Reason.of("{why}", "not_offered", why=task.hold)
    if task.quarantine is not None:
        return GPUStatus.BUSY, Reason.of("{why}", "kept_aside", why=task.quarantine)
    if task.has_ended:
        return GPUStatus.DRAINING, Reason.of(
            "{task_id} has ended; the GPU is available when its memory is free", "task_ended", task_id=task.task_id
        )
    held = Reason.of("held by {task_id}", "held_by", task_id=task.task_id)
    return _STATUS_BY_TASK.get(task.task_type, GPUStatus.BUSY), held


def _taken(around: GPUCircumstances) -> _Judged | None:
    """Return the status of a GPU that a task or an engine has; None for any other."""
    if around.task is not None:
        return _held(around.task)
    return None if around.engine is None else (around.engine.status, around.engine.message)


def _why_memory_is_unknown(vitals: GPUVitals | None) -> Reason:
    reason = "unsupported" if vitals is None else vitals.unavailable.get("memory.used", "unsupported")
    if reason == "no_permission":
        return Reason.of("this user may not read how much of its memory is in use", "memory_not_permitted")
    return Reason.of("how much of its memory is in use cannot be read ({why})", "memory_unknown", why=reason)


def _why_unknown(gpu: GPUReading, around: GPUCircumstances, stale: bool) -> _Judged | None:
    if around.uuid_owner is not None:
        return GPUStatus.UNKNOWN, Reason.of(
            "{node} has a GPU of this UUID, too", "uuid_elsewhere", node=around.uuid_owner
        )
    if gpu.fault is FaultKind.LOST:
        return GPUStatus.LOST, Reason.of("{why}", "lost", why=gpu.fault_reason or LOST)
    if around.problem is not None:
        return GPUStatus.UNKNOWN, Reason.of("{why}", "driver_problem", why=around.problem)
    if gpu.fault is not None:
        cannot = gpu.fault_reason or Reason.of("this GPU cannot be read", "gpu_unreadable")
        return GPUStatus.UNKNOWN, Reason.of("{why}", "unreadable", why=cannot)
    if stale:
        why: ReasonOrText = gpu.fault_reason or Reason.of("no sweep since", "no_sweep")
        if gpu.read_monotonic is None:
            return GPUStatus.UNKNOWN, Reason.of("it has not been read yet ({why})", "not_read_yet", why=why)
        age = f"{around.now - gpu.read_monotonic:.0f}"
        return GPUStatus.UNKNOWN, Reason.of("its last reading is {seconds} s old ({why})", "old", seconds=age, why=why)
    return None
