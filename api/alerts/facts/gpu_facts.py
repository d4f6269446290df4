"""Facts about GPUs, from the published state.

Each new state is a sample for the values that are computed over minutes.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from api.alerts.evaluation import UNKNOWN, FactTable
from api.alerts.facts.ages import Ages
from api.domain.alerts.alert import AlertTarget, Subject
from api.domain.alerts.alert_rule import RuleScope
from api.domain.machines.gpu import Verdict
from api.domain.machines.node import NodeStatus
from api.domain.machines.reading import FaultKind
from api.domain.reason import Reason, ReasonOrText, message_of, text_of
from api.gpus.health.judgement import JudgedGPU
from api.gpus.health.xids import XidClass, look_up
from api.gpus.state import GPUState
from api.gpus.wanted_power import is_same_limit
from api.util.clock import Clock, time_of
from api.util.http.validation import forget_absent

#: Windows in seconds, and by metric the throttle reason and its window.
_SHORT, _LONG = 300.0, 1800.0
_SHARES: Mapping[str, tuple[str, float]] = {
    "hw_thermal_percent": ("hw_thermal_slowdown", _SHORT),
    "sw_thermal_percent": ("sw_thermal_slowdown", _LONG),
    "power_brake_percent": ("hw_power_brake_slowdown", _SHORT),
    "power_cap_percent": ("sw_power_cap", _LONG),
}

#: The bit of each throttle reason in a sample.
_BITS = {reason: 1 << index for index, (reason, _) in enumerate(_SHARES.values())}

#: Filled share of a window from which on its percentage is known.
_FILLED = 0.5

#: Seconds between two samples of a GPU of another machine, of which there may be 8,000.
OTHERS_SECONDS = 30.0

#: Seconds after which a changed power limit replaces the previous one.
_LIMIT_SETTLES = 600.0

_HEALTH = {Verdict.HEALTHY: 0.0, Verdict.DEGRADED: 1.0, Verdict.UNHEALTHY: 2.0}
_HOUR, _HOURS = 3600.0, 3


@dataclass(slots=True)
class _Memory:
    """The remembered values of one GPU."""

    samples: deque[tuple[float, int]] = field(default_factory=deque)  #: time and bits of the reasons
    sequence: int = -1
    first_ecc: float | None = None
    fan_has_turned: bool = False
    best_width: float | None = None
    best_generation: float | None = None
    limit: float | None = None
    limit_before: float | None = None
    limit_changed_at: float = 0.0
    foreign: deque[tuple[float, float]] = field(default_factory=deque)  #: one per hour


class _Moment:
    """The values that all rows of a table share."""

    def __init__(self, state: GPUState, waiting: float, monotonic: float) -> None:
        self.state = state
        self.waiting = waiting
        self.monotonic = monotonic
        lost = (NodeStatus.UNKNOWN, NodeStatus.DOWN)
        self.silent = frozenset(node.name for node in state.nodes if node.status in lost)


class GPUFacts:
    """Computes the tables of GPUs. Not thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ages = Ages(clock)
        self._memories: dict[tuple[str, str], _Memory] = {}  #: by machine and UUID

    def table(self, state: GPUState, waiting: float) -> FactTable:
        """Return the facts of this machine's GPUs. `waiting` is the number of queued tasks."""
        # The driver reports lost GPUs, too. A GPU that is missing was never read, or the source was changed.
        is_complete = state.snapshot.problem is None and bool(state.own_gpus)
        return self._table(state.own_gpus, state, waiting, is_complete)

    def table_of_others(self, state: GPUState, waiting: float, nodes: Iterable[str]) -> FactTable:
        """Return the facts of the GPUs of the machines that report to this one.

        `nodes` are the names of these machines in the database. Facts of a silent machine are unknown.
        """
        # A duplicate of another GPU's UUID must not get that GPU's task and history.
        others = [gpu for gpu in state.gpus if gpu.node != state.node and not gpu.is_twin]
        reported = {name for name, part in state.parts.items() if part.snapshot.gpus or part.snapshot.problem is None}
        return self._table(others, state, waiting, reported.issuperset(nodes))

    def _table(self, gpus: Iterable[JudgedGPU], state: GPUState, waiting: float, is_complete: bool) -> FactTable:
        moment = _Moment(state, waiting, self._clock.monotonic())
        known = [gpu for gpu in gpus if gpu.reading.uuid is not None]
        rows = [self._row(gpu, moment) for gpu in known]
        columns = {name: [row.get(name, UNKNOWN) for row in rows] for name in (rows[0] if rows else {})}
        targets = tuple(_target(gpu, state) for gpu in known)
        self._ages.retain({f"{gpu.node}/{gpu.reading.uuid}" for gpu in state.gpus})
        forget_absent(self._memories, {(gpu.node, gpu.reading.uuid or "") for gpu in state.gpus})
        return FactTable(RuleScope.GPU, targets, columns, is_complete)

    def _row(self, gpu: JudgedGPU, at: "_Moment") -> dict[str, float]:
        memory = self._memories.setdefault((gpu.node, gpu.reading.uuid or ""), _Memory())
        is_lost = gpu.reading.fault is FaultKind.LOST
        read = gpu.reading.read_monotonic
        is_known = not gpu.judgement.stale and not is_lost and gpu.reading.vitals is not None
        row = {
            "lost": _flag(is_lost),
            "reading_age": UNKNOWN if read is None else at.monotonic - read,
            "available": _flag(gpu.judgement.is_available),
            "queue_waiting": at.waiting,
            "health": _HEALTH.get(gpu.judgement.health.verdict, UNKNOWN),
            **_plain(gpu),
            "xid_fatal": _fatal_xid(gpu),
            "xid_application_age": self._application_age(gpu, at.state),
            **self._remembered(gpu, memory, at, is_known),
        }
        if gpu.node in at.silent:
            # The alert about the silent machine covers its GPUs.
            return dict.fromkeys(row, UNKNOWN)
        if is_known:
            return row
        # Outdated readings are unknown.
        current = ("lost", "reading_age", "available", "queue_waiting", "xid_application_age")
        return {name: value if name in current else UNKNOWN for name, value in row.items()}

    def _application_age(self, gpu: JudgedGPU, state: GPUState) -> float:
        found = _applications(gpu, state) if state.xids else []
        return self._ages.of(f"{gpu.node}/{gpu.reading.uuid}", time_of(found[-1][0])) if found else float("inf")

    def _remembered(self, gpu: JudgedGPU, memory: _Memory, at: "_Moment", is_known: bool) -> dict[str, float]:
        sequence, monotonic = at.state.snapshot_of(gpu.node).sequence, at.monotonic
        if is_known and sequence != memory.sequence:
            memory.sequence = sequence
            _add_sample(gpu, memory, monotonic, OTHERS_SECONDS if gpu.node in at.state.parts else 0.0)
        ecc = gpu.condition.ecc
        errors = None if ecc is None else ecc.uncorrected_volatile
        limit = memory.limit_before if memory.limit_before is not None else memory.limit
        foreign = _foreign(gpu)
        return {
            **{name: _share(memory.samples, _BITS[of], window, monotonic) for name, (of, window) in _SHARES.items()},
            "ecc_uncorrected_new": UNKNOWN if errors is None else errors - (memory.first_ecc or 0.0),
            "fan_has_turned": _flag(memory.fan_has_turned),
            "pcie_width_best": _number(memory.best_width),
            "pcie_generation_best": _number(memory.best_generation),
            "power_limit_previous": _number(limit),
            "foreign_memory": foreign,
            "foreign_growth": _growth(memory.foreign),
        }


@lru_cache(maxsize=64)
def _sample(monotonic: float, bits: int) -> tuple[float, int]:
    """Return the same object for all GPUs of one moment.

    Half an hour of separate samples of 8,000 GPUs would take 0.2 GB.
    """
    return monotonic, bits


def _add_sample(gpu: JudgedGPU, memory: _Memory, monotonic: float, interval: float) -> None:
    """Add a sample; of the throttle reasons only if their last one is at least `interval` seconds old."""
    vitals, condition = gpu.vitals, gpu.condition
    reasons = vitals.throttle_reasons
    if reasons is not None and (not memory.samples or monotonic - memory.samples[-1][0] >= interval):
        memory.samples.append(_sample(monotonic, sum(_BITS.get(reason, 0) for reason in set(reasons))))
    while memory.samples and monotonic - memory.samples[0][0] > _LONG:
        memory.samples.popleft()
    memory.fan_has_turned = memory.fan_has_turned or bool(vitals.fan_percent)
    if condition.ecc is not None and condition.ecc.uncorrected_volatile is not None:
        errors = float(condition.ecc.uncorrected_volatile)
        # A reloaded driver counts from 0.
        memory.first_ecc = errors if memory.first_ecc is None else min(memory.first_ecc, errors)
    memory.best_width = _larger(memory.best_width, condition.pcie_width)
    memory.best_generation = _larger(memory.best_generation, condition.pcie_generation)
    _note_limit(memory, gpu.power_limit, monotonic, is_same_limit(gpu.power_limit, gpu.reading.own_limit_watts))
    foreign = _foreign(gpu)
    if foreign == foreign and (not memory.foreign or monotonic - memory.foreign[-1][0] >= _HOUR):  # noqa: PLR0124 - NaN
        memory.foreign.append((monotonic, foreign))
        while len(memory.foreign) > _HOURS + 1:
            memory.foreign.popleft()


def _note_limit(memory: _Memory, limit: float | None, monotonic: float, is_own: bool) -> None:
    """Note the current limit. A change by this service is none that users must know of."""
    if limit is None:
        return
    if is_own and limit != memory.limit:
        memory.limit_before = None
    elif memory.limit is not None and limit != memory.limit:
        memory.limit_before, memory.limit_changed_at = memory.limit, monotonic
    elif memory.limit_before is not None and monotonic - memory.limit_changed_at > _LIMIT_SETTLES:
        memory.limit_before = None
    memory.limit = limit


def _plain(gpu: JudgedGPU) -> dict[str, float]:
    vitals, condition, identity = gpu.vitals, gpu.condition, gpu.identity
    repair, ecc = condition.repair, condition.ecc
    pending = None if repair is None else repair.remapped_rows_pending or repair.retired_pages_pending
    used, total = vitals.memory_used_mb, vitals.memory_total_mb
    return {
        "utilization_gpu": _number(vitals.utilization_gpu),
        "utilization_memory": _number(vitals.utilization_memory),
        "memory_used": _number(used),
        "memory_used_percent": UNKNOWN if used is None or not total else 100.0 * used / total,
        "temperature_gpu": _number(vitals.temperature_gpu),
        "temperature_memory": _number(vitals.temperature_memory),
        "temperature_slowdown": _number(identity.temperature_slowdown),
        "power_usage": _number(vitals.power_watts),
        "power_limit": _number(gpu.power_limit),
        "power_limit_default": _number(identity.power_default_limit_watts),
        "fan_speed": _number(vitals.fan_percent),
        "clock_sm": _number(vitals.clocks.sm),
        "pcie_width": _number(condition.pcie_width),
        "pcie_generation": _number(condition.pcie_generation),
        "ecc_uncorrected": _number(None if ecc is None else ecc.uncorrected_volatile),
        "repair_pending": _number(pending),
        "repair_failed": _number(None if repair is None else repair.remapped_rows_failure),
        "recovery_action": _number(vitals.recovery_action),
    }


def _target(gpu: JudgedGPU, state: GPUState) -> AlertTarget:
    reading, health = gpu.reading, gpu.judgement.health
    name = gpu.identity.name or "GPU"
    index = reading.index if reading.index is not None else "?"
    title = f"GPU {index} on {gpu.node}" if state.is_fleet else f"GPU {index}"
    labels = {"gpu_uuid": reading.uuid or "", "gpu": str(reading.index), "gpu_name": name, "node": gpu.node}
    summary_values = {
        "name": f"GPU {reading.index} {name} on {gpu.node}",
        "gpu": title,
        "health": "; ".join(health.reasons) or "healthy",
        "health_action": _sentence("; ".join(health.suggested_actions)),
        "xid_application": text_of(_describe_application(gpu, state)),
    }
    coded: dict[str, ReasonOrText | Sequence[ReasonOrText]] = {
        "health": health.messages,
        "health_action": list(map(message_of, health.suggested_actions, health.action_codes)),
        "xid_application": _describe_application(gpu, state),
    }
    if state.is_fleet:
        coded["gpu"] = Reason.of("GPU {index} on {node}", "gpu_on_node", index=index, node=gpu.node)
    key, task = f"{gpu.node}/{reading.uuid}", gpu.task
    is_busy = task is not None and task.is_started_here
    subject = Subject(task.task_id, task.owner) if task is not None and is_busy else None
    return AlertTarget(key, labels, summary_values, coded_values=coded, subject=subject)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _fatal_xid(gpu: JudgedGPU) -> float:
    """Return the Xid that makes the GPU unhealthy; 0 if there is none."""
    health = gpu.judgement.health
    if health.verdict is not Verdict.UNHEALTHY:
        return 0.0 if health.verdict is not Verdict.UNKNOWN else UNKNOWN
    codes = [int(code.params["xid"]) for code in health.reason_codes if code is not None and code.code == "xid"]
    fatal = [code for code in codes if look_up(code).kind is XidClass.FATAL]
    return float((fatal or codes or [0])[0])


def _applications(gpu: JudgedGPU, state: GPUState) -> list[tuple[float, int]]:
    found = [(count.last_at, xid) for (uuid, xid), count in state.xids.items() if uuid == gpu.reading.uuid]
    return sorted((at, xid) for at, xid in found if look_up(xid).kind is XidClass.APPLICATION)


def _describe_application(gpu: JudgedGPU, state: GPUState) -> ReasonOrText:
    found = _applications(gpu, state) if state.xids else []
    if not found:
        return Reason.of("none", "no_xid")
    xid = found[-1][1]
    return Reason.of("Xid {xid} ({meaning})", "xid_with_meaning", xid=xid, meaning=look_up(xid).meaning)


def _foreign(gpu: JudgedGPU) -> float:
    """Return the memory in MB that other programs use on a GPU without a task."""
    if gpu.task is not None:
        return 0.0
    processes = gpu.reading.processes
    if processes is None or any(process.memory_mb is None for process in processes):
        return UNKNOWN
    return float(sum(process.memory_mb or 0 for process in processes))


def _share(samples: Sequence[tuple[float, int]], bit: int, window: float, monotonic: float) -> float:
    """Return the percentage of the samples within the window that have this bit."""
    first = samples[0][0] if samples else monotonic
    if monotonic - first < _FILLED * window:
        return UNKNOWN
    within = [bits & bit for at, bits in samples if monotonic - at <= window]
    return 100.0 * sum(map(bool, within)) / len(within) if within else UNKNOWN


def _growth(hours: Sequence[tuple[float, float]]) -> float:
    """Return the smallest growth per hour in percent; UNKNOWN until three hours are known."""
    if len(hours) <= _HOURS:
        return UNKNOWN
    pairs = list(zip(list(hours)[:-1], list(hours)[1:], strict=True))
    if any(before[1] <= 0 for before, _ in pairs):
        return 0.0
    return min(100.0 * (after[1] / before[1] - 1.0) for before, after in pairs)


def _larger(known: float | None, value: float | None) -> float | None:
    return known if value is None else value if known is None else max(known, value)


def _number(value: float | None) -> float:
    return UNKNOWN if value is None else float(value)


def _flag(value: bool) -> float:
    return 1.0 if value else 0.0
