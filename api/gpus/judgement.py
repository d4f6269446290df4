"""What a GPU's reading amounts to: its status, whether it can be had, and how well it is. Pure functions."""

from dataclasses import dataclass, field

from api.domain.gpu import GPUHealth, GPUStatus, Verdict
from api.domain.reading import FaultKind, GPUCondition, GPUIdentity, GPUVitals
from api.domain.reason import Reason, ReasonCode, Words, words_of
from api.domain.task import RegisteredTask, TaskType
from api.gpus.circumstances import GPUCircumstances
from api.gpus.foreign_use import describe_use
from api.gpus.health import LOST, judge_health
from api.gpus.snapshot import GPUReading

#: Seconds for which a GPU counts as draining after its task ended; memory held longer belongs to somebody.
DRAINING_SECONDS = 60.0

_STATUS_BY_TASK = {
    TaskType.TRAINING: GPUStatus.TRAINING,
    TaskType.PREPROCESSING: GPUStatus.PREPROCESSING,
    TaskType.CACHE: GPUStatus.PREPROCESSING,
}

#: The code of the reason why a GPU is unknown whose UUID is another's.
TWIN = "uuid_elsewhere"

# Stand for what is not known, so that every field has one expression.
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
    def words(self) -> Words | None:
        """The reason with its code; None without a reason."""
        return None if self.reason is None else words_of(self.reason, self.said)

    @property
    def is_available(self) -> bool:
        return self.status is GPUStatus.AVAILABLE


@dataclass(frozen=True, slots=True)
class JudgedGPU:
    """A GPU with everything that its answers are made from."""

    reading: GPUReading
    judgement: Judgement
    task: RegisteredTask | None
    node: str  #: the machine that it is in, as the database names it
    hides_task: bool = False  #: a task holds it that its reader may not see
    identity: GPUIdentity = field(init=False)
    vitals: GPUVitals = field(init=False)
    condition: GPUCondition = field(init=False)

    def __post_init__(self) -> None:
        # Looked up hundreds of times a sweep: as properties they would cost a call each time.
        object.__setattr__(self, "identity", self.reading.identity or _NO_IDENTITY)
        object.__setattr__(self, "vitals", self.reading.vitals or _NO_VITALS)
        object.__setattr__(self, "condition", self.reading.condition or _NO_CONDITION)

    @property
    def is_twin(self) -> bool:
        """Whether another GPU has its UUID: what that UUID means is the other one."""
        return self.judgement.said is not None and self.judgement.said.code == TWIN

    @property
    def power_limit(self) -> float | None:
        """The limit in W that holds: the lower of what was set and what the board must not pass."""
        enforced = self.condition.power_enforced_limit_watts
        return self.condition.power_limit_watts if enforced is None else enforced


def judge(gpu: GPUReading, around: GPUCircumstances) -> Judgement:
    """The verdict on one GPU."""
    stale = is_stale(gpu, around.now, around.max_age)
    health = judge_health(gpu, around, stale)
    status, reason = _status(gpu, around, stale, health)
    if reason is None and health.verdict is Verdict.DEGRADED:
        reason = Reason.of("{reasons}", "degraded", reasons=health.words)
    text, said = (None, None) if reason is None else (reason.text, reason.said)
    return Judgement(status=status, reason=text, said=said, health=health, stale=stale)


def is_stale(gpu: GPUReading, now: float, max_age: float) -> bool:
    """Whether a reading is too old to act on. A lost GPU shows no values, so none of them is stale."""
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
    use = describe_use(gpu)
    if use is not None and around.draining_for is not None and around.draining_for < DRAINING_SECONDS:
        return GPUStatus.DRAINING, Reason.of(
            "its task has ended, but {mb} MB are still in use", "draining", mb=f"{gpu.vitals.memory_used_mb:,}"
        )
    if use is not None:
        return GPUStatus.BUSY, use
    if gpu.processes is None:
        # Nobody seen is not nobody there: a small model leaves little trace in the memory.
        why = gpu.processes_unlisted or "not read yet"
        return GPUStatus.UNKNOWN, Reason.of("who uses it cannot be read ({why})", "processes_unknown", why=why)
    return _idle(gpu, around, health)


def _idle(gpu: GPUReading, around: GPUCircumstances, health: GPUHealth) -> _Judged:
    """The status of a GPU that nobody uses."""
    if gpu.condition is not None and gpu.condition.compute_mode == "prohibited":
        return GPUStatus.BUSY, Reason.of(
            "its compute mode is prohibited: `nvidia-smi --compute-mode=DEFAULT` opens it", "compute_mode_prohibited"
        )
    if health.verdict is Verdict.UNHEALTHY:
        return GPUStatus.UNKNOWN, Reason.of("unhealthy: {why}", "unhealthy", why=health.words)
    if around.drain is not None:
        return GPUStatus.BUSY, Reason.of("its node is drained: {why}", "node_drained", why=around.drain)
    return GPUStatus.AVAILABLE, None


def _held(task: RegisteredTask) -> _Judged:
    if task.hold is not None:
        return GPUStatus.BUSY, Reason.of("{why}", "not_offered", why=task.hold)
    if task.quarantine is not None:
        return GPUStatus.BUSY, Reason.of("{why}", "kept_aside", why=task.quarantine)
    if task.has_ended:
        return GPUStatus.DRAINING, Reason.of(
            "{task_id} has ended; it is free when its memory is back", "task_ended", task_id=task.task_id
        )
    held = Reason.of("held by {task_id}", "held_by", task_id=task.task_id)
    return _STATUS_BY_TASK.get(task.task_type, GPUStatus.BUSY), held


def _taken(around: GPUCircumstances) -> _Judged | None:
    """The status of a GPU that a task holds, or that an engine keeps from being given; None for any other."""
    if around.task is not None:
        return _held(around.task)
    return None if around.engine is None else (around.engine.status, around.engine.words)


def _why_memory_is_unknown(vitals: GPUVitals | None) -> Reason:
    reason = "unsupported" if vitals is None else vitals.unavailable.get("memory.used", "unsupported")
    if reason == "no_permission":
        return Reason.of("this user may not read how much of its memory is in use", "memory_not_permitted")
    return Reason.of("how much of its memory is in use cannot be read ({why})", "memory_unknown", why=reason)


def _why_unknown(gpu: GPUReading, around: GPUCircumstances, stale: bool) -> _Judged | None:
    if around.twin is not None:
        return GPUStatus.UNKNOWN, Reason.of("{node} has a GPU of this UUID, too", "uuid_elsewhere", node=around.twin)
    if gpu.fault is FaultKind.LOST:
        return GPUStatus.LOST, Reason.of("{why}", "lost", why=gpu.fault_reason or LOST)
    if around.problem is not None:
        return GPUStatus.UNKNOWN, Reason.of("{why}", "driver_problem", why=around.problem)
    if gpu.fault is not None:
        cannot = gpu.fault_reason or Reason.of("this GPU cannot be read", "gpu_unreadable")
        return GPUStatus.UNKNOWN, Reason.of("{why}", "unreadable", why=cannot)
    if stale:
        why: Words = gpu.fault_reason or Reason.of("no sweep since", "no_sweep")
        if gpu.read_monotonic is None:
            return GPUStatus.UNKNOWN, Reason.of("it has not been read yet ({why})", "not_read_yet", why=why)
        age = f"{around.now - gpu.read_monotonic:.0f}"
        return GPUStatus.UNKNOWN, Reason.of("its last reading is {seconds} s old ({why})", "old", seconds=age, why=why)
    return None
