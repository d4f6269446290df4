"""What a GPU's reading amounts to: its status, whether it can be had, and how well it is. Pure functions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from api.models.gpu import GPUHealth, GPUStatus, Verdict
from api.models.reading import FaultKind, GPUCondition, GPUIdentity, GPUProcess, GPUVitals, ProcessKind
from api.models.reason import Reason, ReasonCode
from api.models.snapshot import GPUReading
from api.models.task import RegisteredTask, TaskType
from api.models.xids import XidClass, look_up, look_up_action

#: Foreign memory below which a GPU still counts as free, in MB. A CUDA context alone takes 300 to 500, so a compute
#: process above 100 is at work; a desktop's windows take several hundred and are no reason to refuse training.
FOREIGN_COMPUTE_MB = 100
FOREIGN_GRAPHICS_MB = 1024

#: Memory in use that no listed process explains, above which somebody unseen (another container) is at work.
UNEXPLAINED_MB = 1024

#: Seconds for which a GPU counts as draining after its task ended; memory held longer belongs to somebody.
DRAINING_SECONDS = 60.0

#: For a GPU that was read before and does not answer any more.
_HANGING = ("look for it in `nvidia-smi` and `dmesg`; when it does not answer there either, reboot",)

_STATUS_BY_TASK = {TaskType.TRAINING: GPUStatus.TRAINING, TaskType.PREPROCESSING: GPUStatus.PREPROCESSING}

# Stand for what is not known, so that every field has one expression.
_NO_IDENTITY = GPUIdentity(index=-1, uuid="")
_NO_VITALS = GPUVitals()
_NO_CONDITION = GPUCondition()


@dataclass(frozen=True, slots=True)
class Judgement:
    """The status of a GPU with its reason, and its health."""

    status: GPUStatus
    reason: str | None
    said: ReasonCode | None  #: what the reason says
    health: GPUHealth
    stale: bool

    @property
    def is_available(self) -> bool:
        return self.status is GPUStatus.AVAILABLE


@dataclass(frozen=True, slots=True)
class JudgedGPU:
    """A GPU with everything that its answers are made from."""

    reading: GPUReading
    judgement: Judgement
    task: RegisteredTask | None
    identity: GPUIdentity = field(init=False)
    vitals: GPUVitals = field(init=False)
    condition: GPUCondition = field(init=False)

    def __post_init__(self) -> None:
        # Looked up hundreds of times a sweep: as properties they would cost a call each time.
        object.__setattr__(self, "identity", self.reading.identity or _NO_IDENTITY)
        object.__setattr__(self, "vitals", self.reading.vitals or _NO_VITALS)
        object.__setattr__(self, "condition", self.reading.condition or _NO_CONDITION)

    @property
    def power_limit(self) -> float | None:
        """The limit in W that holds: the lower of what was set and what the board must not pass."""
        enforced = self.condition.power_enforced_limit_watts
        return self.condition.power_limit_watts if enforced is None else enforced


@dataclass(frozen=True, slots=True)
class GPUCircumstances:
    """What bears on a GPU besides its reading. `draining_for`: seconds since its task ended, None when none did.

    `xids`: a code as often as it was seen within a day; `last_xid_at`: the monotonic time of the last one.
    """

    now: float
    max_age: float
    problem: str | None = None
    task: RegisteredTask | None = None
    holders_known: bool = True
    draining_for: float | None = None
    xids: Sequence[int] = ()
    last_xid_at: float = float("-inf")


def judge(gpu: GPUReading, around: GPUCircumstances) -> Judgement:
    """The verdict on one GPU."""
    stale = is_stale(gpu, around.now, around.max_age)
    health = judge_health(gpu, around, stale)
    status, reason = _status(gpu, around, stale, health)
    if reason is None and health.verdict is Verdict.DEGRADED:
        reason = Reason.of("; ".join(health.reasons), "degraded", reasons=list(health.reasons))
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
        text = "who holds it is not known: the database cannot be read"
        return GPUStatus.UNKNOWN, Reason.of(text, "holders_unknown")
    if around.task is not None:
        return _held(around.task)
    if gpu.vitals is None or gpu.vitals.memory_used_mb is None:
        return GPUStatus.UNKNOWN, _why_memory_is_unknown(gpu.vitals)
    use = _foreign_use(gpu)
    if use is not None and around.draining_for is not None and around.draining_for < DRAINING_SECONDS:
        memory = f"{gpu.vitals.memory_used_mb:,}"
        text = f"its task has ended, but {memory} MB are still in use"
        return GPUStatus.DRAINING, Reason.of(text, "draining", mb=memory)
    if use is not None:
        return GPUStatus.BUSY, use
    if gpu.processes is None:
        # Nobody seen is not nobody there: a small model leaves little trace in the memory.
        why = gpu.processes_unlisted or "not read yet"
        return GPUStatus.UNKNOWN, Reason.of(f"who uses it cannot be read ({why})", "processes_unknown", why=why)
    if gpu.condition is not None and gpu.condition.compute_mode == "prohibited":
        text = "its compute mode is prohibited: `nvidia-smi --compute-mode=DEFAULT` opens it"
        return GPUStatus.BUSY, Reason.of(text, "compute_mode_prohibited")
    if health.verdict is Verdict.UNHEALTHY:
        why = "; ".join(health.reasons)
        return GPUStatus.UNKNOWN, Reason.of(f"unhealthy: {why}", "unhealthy", why=why)
    return GPUStatus.AVAILABLE, None


def _held(task: RegisteredTask) -> _Judged:
    if task.quarantine is not None:
        return GPUStatus.BUSY, Reason.of(task.quarantine, "kept_aside", why=task.quarantine)
    if task.has_ended:
        text = f"{task.task_id} has ended; it is free when its memory is back"
        return GPUStatus.DRAINING, Reason.of(text, "task_ended", task_id=task.task_id)
    held = Reason.of(f"held by {task.task_id}", "held_by", task_id=task.task_id)
    return _STATUS_BY_TASK.get(task.task_type, GPUStatus.BUSY), held


def _why_memory_is_unknown(vitals: GPUVitals | None) -> Reason:
    reason = "unsupported" if vitals is None else vitals.unavailable.get("memory.used", "unsupported")
    if reason == "no_permission":
        return Reason.of("this user may not read how much of its memory is in use", "memory_not_permitted")
    return Reason.of(f"how much of its memory is in use cannot be read ({reason})", "memory_unknown", why=reason)


def _why_unknown(gpu: GPUReading, around: GPUCircumstances, stale: bool) -> _Judged | None:
    if gpu.fault is FaultKind.LOST:
        why = gpu.fault_reason or "the driver has lost this GPU"
        return GPUStatus.LOST, Reason.of(why, "lost", why=why)
    if around.problem is not None:
        return GPUStatus.UNKNOWN, Reason.of(around.problem, "driver_problem", why=around.problem)
    if gpu.fault is not None:
        why = gpu.fault_reason or "this GPU cannot be read"
        return GPUStatus.UNKNOWN, Reason.of(why, "unreadable", why=why)
    if stale:
        why = gpu.fault_reason or "no sweep since"
        if gpu.read_monotonic is None:
            return GPUStatus.UNKNOWN, Reason.of(f"it has not been read yet ({why})", "not_read_yet", why=why)
        age = f"{around.now - gpu.read_monotonic:.0f}"
        return GPUStatus.UNKNOWN, Reason.of(f"its last reading is {age} s old ({why})", "old", seconds=age, why=why)
    return None


def is_in_use(gpu: GPUReading) -> bool:
    """Whether somebody works on a GPU, by what its reading shows alone."""
    return _foreign_use(gpu) is not None


def _foreign_use(gpu: GPUReading) -> Reason | None:
    """Who uses a GPU that no task holds, in words; None when nobody does."""
    vitals, processes = gpu.vitals, gpu.processes
    if vitals is None:
        return None
    for process in processes or ():
        if _is_at_work(process, vitals):
            return _describe(process)
    unexplained = _unexplained_mb(vitals, processes)
    if unexplained is not None and unexplained > UNEXPLAINED_MB:
        text = f"{unexplained:,} MB are in use by a process that cannot be seen from here (another container?)"
        return Reason.of(text, "unseen_process", mb=f"{unexplained:,}")
    return None


def _is_at_work(process: GPUProcess, vitals: GPUVitals) -> bool:
    if process.memory_mb is None:
        # Windows and WSL do not tell: only what the whole GPU has in use can decide.
        return process.kind is ProcessKind.COMPUTE and (vitals.memory_used_mb or 0) > UNEXPLAINED_MB
    limit = FOREIGN_COMPUTE_MB if process.kind is ProcessKind.COMPUTE else FOREIGN_GRAPHICS_MB
    return process.memory_mb > limit


def _unexplained_mb(vitals: GPUVitals, processes: Sequence[GPUProcess] | None) -> int | None:
    if vitals.memory_used_mb is None or vitals.memory_unified:
        return None
    listed = [process.memory_mb for process in processes or ()]
    if any(memory is None for memory in listed):
        return None
    return vitals.memory_used_mb - sum(memory for memory in listed if memory is not None)


def _describe(process: GPUProcess) -> Reason:
    who = f"pid {process.pid}" + (f" ({process.user})" if process.user else "")
    memory = "an unknown amount of memory" if process.memory_mb is None else f"{process.memory_mb:,} MB"
    command = f": {process.command}" if process.command else ""
    return Reason.of(f"{who} holds {memory}{command}", "process", who=who, memory=memory, command=command)


def judge_health(gpu: GPUReading, around: GPUCircumstances, stale: bool) -> GPUHealth:
    """The verdict by what NVML reports and by the Xid errors since the GPU was last gone."""
    if gpu.fault is FaultKind.LOST:
        return GPUHealth(
            Verdict.UNHEALTHY,
            (gpu.fault_reason or "the driver has lost this GPU",),
            ("reboot; if it happens again, check power, seating and cooling of the board",),
        )
    if around.problem is not None or gpu.fault is not None or stale or gpu.vitals is None:
        reasons = (around.problem or gpu.fault_reason or "no fresh reading",)
        hangs = stale and around.problem is None and gpu.fault is None and gpu.vitals is not None
        return GPUHealth(Verdict.UNKNOWN, reasons, _HANGING if hangs else ())
    findings = [*_recovery_findings(gpu), *_xid_findings(gpu, around), *_memory_findings(gpu), *_heat_findings(gpu)]
    if not findings:
        return GPUHealth(Verdict.HEALTHY)
    worst = Verdict.UNHEALTHY if any(f[0] is Verdict.UNHEALTHY for f in findings) else Verdict.DEGRADED
    actions = dict.fromkeys(action for _, _, action in findings)
    return GPUHealth(worst, tuple(reason for _, reason, _ in findings), tuple(actions))


Finding = tuple[Verdict, str, str]


_VERDICT_BY_CLASS = {XidClass.FATAL: Verdict.UNHEALTHY, XidClass.DEGRADED: Verdict.DEGRADED}

#: Of a link between GPUs: without such links in use it is no reason to leave the GPU alone.
_NVLINK_XIDS = frozenset({74, 136})
#: A hung kernel, after which the driver itself knows whether the GPU must be reset.
_DRIVER_DECIDES = frozenset({109})


def _xid_findings(gpu: GPUReading, around: GPUCircumstances) -> list[Finding]:
    findings: list[Finding] = []
    for code, times in sorted(Counter(around.xids).items()):
        xid = look_up(code)
        verdict = _VERDICT_BY_CLASS.get(xid.kind_after(times))
        if verdict is Verdict.UNHEALTHY and _is_milder_here(code, gpu, around):
            verdict = Verdict.DEGRADED
        if verdict is not None:
            findings.append((verdict, f"the driver reported Xid {code} ({xid.meaning})", xid.advice))
    return findings


def _is_milder_here(code: int, gpu: GPUReading, around: GPUCircumstances) -> bool:
    if code in _NVLINK_XIDS:
        links = None if gpu.condition is None else gpu.condition.nvlinks
        return not any(link.active for link in links or ())
    if code in _DRIVER_DECIDES and gpu.vitals is not None and gpu.read_monotonic is not None:
        # Only what was read after the error can tell.
        return gpu.vitals.recovery_action == 0 and gpu.read_monotonic > around.last_xid_at
    return False


def _recovery_findings(gpu: GPUReading) -> list[Finding]:
    number = None if gpu.vitals is None else gpu.vitals.recovery_action
    action = None if number is None else look_up_action(number)
    if action is None:
        return []
    return [(Verdict.UNHEALTHY, f"the driver asks for {action.wants} (recovery action {number})", action.advice)]


def _memory_findings(gpu: GPUReading) -> list[Finding]:
    findings: list[Finding] = []
    condition = gpu.condition
    repair = None if condition is None else condition.repair
    ecc = None if condition is None else condition.ecc
    if repair is not None and repair.remapped_rows_failure:
        findings.append((Verdict.UNHEALTHY, "a row of its memory could not be remapped", "replace the board"))
    if repair is not None and (repair.remapped_rows_pending or repair.retired_pages_pending):
        findings.append(
            (
                Verdict.DEGRADED,
                "a repair of its memory waits for a reset",
                "reset it when idle: `nvidia-smi --gpu-reset`",
            )
        )
    if ecc is not None and ecc.uncorrected_volatile:
        reason = f"{ecc.uncorrected_volatile} uncorrectable memory errors since the driver was loaded"
        findings.append((Verdict.DEGRADED, reason, "reset it when idle; replace it if they return"))
    return findings


def _heat_findings(gpu: GPUReading) -> list[Finding]:
    findings: list[Finding] = []
    vitals, identity = gpu.vitals, gpu.identity
    if vitals is None:
        return findings
    slowdown = None if identity is None else identity.temperature_slowdown
    if slowdown is not None and vitals.temperature_gpu is not None and vitals.temperature_gpu >= slowdown:
        reason = f"it is {vitals.temperature_gpu} °C hot and slows down at {slowdown}"
        findings.append((Verdict.DEGRADED, reason, "check fans, dust and the air that it gets"))
    throttled = set(vitals.throttle_reasons or ())
    if "hw_thermal_slowdown" in throttled:
        findings.append(
            (Verdict.DEGRADED, "its hardware slows it down for heat", "check fans, dust and the air that it gets")
        )
    if "hw_power_brake_slowdown" in throttled:
        findings.append(
            (Verdict.DEGRADED, "its hardware slows it down for lack of power", "check the power supply and its cables")
        )
    return findings
