"""What a GPU's reading amounts to: its status, whether it can be had, and how well it is. Pure functions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from api.models.gpu import GPUHealth, GPUStatus, Verdict
from api.models.reading import FaultKind, GPUCondition, GPUIdentity, GPUProcess, GPUVitals, ProcessKind
from api.models.reason import Reason, ReasonCode, Words, words_of
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

#: Advice for a GPU that was read before and does not answer any more.
_HANGING = Reason.of(
    "look for it in `nvidia-smi` and `dmesg`; when it does not answer there either, reboot", "look_or_reboot"
)
_LOST = Reason.of("the driver has lost this GPU", "driver_lost_it")
_RESET_WHEN_IDLE = Reason.of("reset it when idle: `nvidia-smi --gpu-reset`", "reset_when_idle")
_CHECK_AIR = Reason.of("check fans, dust and the air that it gets", "check_air")

_STATUS_BY_TASK = {
    TaskType.TRAINING: GPUStatus.TRAINING,
    TaskType.PREPROCESSING: GPUStatus.PREPROCESSING,
    TaskType.CACHE: GPUStatus.PREPROCESSING,
}

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
    problem: Words | None = None
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
    if around.task is not None:
        return _held(around.task)
    if gpu.vitals is None or gpu.vitals.memory_used_mb is None:
        return GPUStatus.UNKNOWN, _why_memory_is_unknown(gpu.vitals)
    use = _foreign_use(gpu)
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
    if gpu.condition is not None and gpu.condition.compute_mode == "prohibited":
        return GPUStatus.BUSY, Reason.of(
            "its compute mode is prohibited: `nvidia-smi --compute-mode=DEFAULT` opens it", "compute_mode_prohibited"
        )
    if health.verdict is Verdict.UNHEALTHY:
        return GPUStatus.UNKNOWN, Reason.of("unhealthy: {why}", "unhealthy", why=health.words)
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


def _why_memory_is_unknown(vitals: GPUVitals | None) -> Reason:
    reason = "unsupported" if vitals is None else vitals.unavailable.get("memory.used", "unsupported")
    if reason == "no_permission":
        return Reason.of("this user may not read how much of its memory is in use", "memory_not_permitted")
    return Reason.of("how much of its memory is in use cannot be read ({why})", "memory_unknown", why=reason)


def _why_unknown(gpu: GPUReading, around: GPUCircumstances, stale: bool) -> _Judged | None:
    if gpu.fault is FaultKind.LOST:
        return GPUStatus.LOST, Reason.of("{why}", "lost", why=gpu.fault_reason or _LOST)
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
        return Reason.of(
            "{mb} MB are in use by a process that cannot be seen from here (another container?)",
            "unseen_process",
            mb=f"{unexplained:,}",
        )
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
    memory: Words = Reason.of("an unknown amount of memory", "unknown_memory")
    if process.memory_mb is not None:
        memory = f"{process.memory_mb:,} MB"
    return show_process(who, memory, f": {process.command}" if process.command else "")


def show_process(who: str, memory: Words, command: str) -> Reason:
    """The words for a process that uses a GPU."""
    return Reason.of("{who} holds {memory}{command}", "process", who=who, memory=memory, command=command)


def judge_health(gpu: GPUReading, around: GPUCircumstances, stale: bool) -> GPUHealth:
    """The verdict by what NVML reports and by the Xid errors since the GPU was last gone."""
    if gpu.fault is FaultKind.LOST:
        remedy = Reason.of(
            "reboot; if it happens again, check power, seating and cooling of the board", "reboot_and_check_board"
        )
        return GPUHealth.of(Verdict.UNHEALTHY, (gpu.fault_reason or _LOST,), (remedy,))
    if around.problem is not None or gpu.fault is not None or stale or gpu.vitals is None:
        reason = around.problem or gpu.fault_reason or Reason.of("no fresh reading", "no_fresh_reading")
        hangs = stale and around.problem is None and gpu.fault is None and gpu.vitals is not None
        return GPUHealth.of(Verdict.UNKNOWN, (reason,), (_HANGING,) if hangs else ())
    findings = [*_recovery_findings(gpu), *_xid_findings(gpu, around), *_memory_findings(gpu), *_heat_findings(gpu)]
    if not findings:
        return GPUHealth(Verdict.HEALTHY)
    worst = Verdict.UNHEALTHY if any(f[0] is Verdict.UNHEALTHY for f in findings) else Verdict.DEGRADED
    return GPUHealth.of(worst, [reason for _, reason, _ in findings], [action for _, _, action in findings])


Finding = tuple[Verdict, Reason, Words]


_VERDICT_BY_CLASS = {XidClass.FATAL: Verdict.UNHEALTHY, XidClass.DEGRADED: Verdict.DEGRADED}

#: Xids of links between GPUs: a GPU without such links in use can be offered all the same.
_NVLINK_XIDS = frozenset({74, 136})
#: Xids of a hung kernel, after which the driver itself knows whether the GPU must be reset.
_DRIVER_DECIDES = frozenset({109})


def _xid_findings(gpu: GPUReading, around: GPUCircumstances) -> list[Finding]:
    findings: list[Finding] = []
    for code, times in sorted(Counter(around.xids).items()):
        xid = look_up(code)
        verdict = _VERDICT_BY_CLASS.get(xid.kind_after(times))
        if verdict is Verdict.UNHEALTHY and _is_milder_here(code, gpu, around):
            verdict = Verdict.DEGRADED
        if verdict is not None:
            found = Reason.of("the driver reported Xid {xid} ({meaning})", "xid", xid=code, meaning=xid.meaning)
            findings.append((verdict, found, xid.advice))
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
    asks = Reason.of(
        "the driver asks for {what} (recovery action {number})", "driver_asks", what=action.wants, number=number
    )
    return [(Verdict.UNHEALTHY, asks, action.advice)]


def _memory_findings(gpu: GPUReading) -> list[Finding]:
    findings: list[Finding] = []
    condition = gpu.condition
    repair = None if condition is None else condition.repair
    ecc = None if condition is None else condition.ecc
    if repair is not None and repair.remapped_rows_failure:
        failed = Reason.of("a row of its memory could not be remapped", "row_not_remapped")
        findings.append((Verdict.UNHEALTHY, failed, Reason.of("replace the board", "replace_board")))
    if repair is not None and (repair.remapped_rows_pending or repair.retired_pages_pending):
        waits = Reason.of("a repair of its memory waits for a reset", "repair_waits")
        findings.append((Verdict.DEGRADED, waits, _RESET_WHEN_IDLE))
    if ecc is not None and ecc.uncorrected_volatile:
        errors = Reason.of(
            "{count} uncorrectable memory errors since the driver was loaded",
            "uncorrectable_errors",
            count=ecc.uncorrected_volatile,
        )
        remedy = Reason.of("reset it when idle; replace it if they return", "reset_or_replace")
        findings.append((Verdict.DEGRADED, errors, remedy))
    return findings


def _heat_findings(gpu: GPUReading) -> list[Finding]:
    findings: list[Finding] = []
    vitals, identity = gpu.vitals, gpu.identity
    if vitals is None:
        return findings
    slowdown = None if identity is None else identity.temperature_slowdown
    if slowdown is not None and vitals.temperature_gpu is not None and vitals.temperature_gpu >= slowdown:
        hot = Reason.of(
            "it is {celsius} °C hot and slows down at {slowdown}",
            "hot",
            celsius=vitals.temperature_gpu,
            slowdown=slowdown,
        )
        findings.append((Verdict.DEGRADED, hot, _CHECK_AIR))
    throttled = set(vitals.throttle_reasons or ())
    if "hw_thermal_slowdown" in throttled:
        findings.append(
            (Verdict.DEGRADED, Reason.of("its hardware slows it down for heat", "slowed_for_heat"), _CHECK_AIR)
        )
    if "hw_power_brake_slowdown" in throttled:
        slowed = Reason.of("its hardware slows it down for lack of power", "slowed_for_power")
        remedy = Reason.of("check the power supply and its cables", "check_power")
        findings.append((Verdict.DEGRADED, slowed, remedy))
    return findings
