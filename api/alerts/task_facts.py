"""Facts about trainings, as the database and the published state know them."""

import statistics
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from api.alerts.ages import Ages
from api.alerts.evaluation import UNKNOWN, FactTable, show_number
from api.alerts.fact_store import AlertFactStore, Headway
from api.alerts.queue_facts import QueueFacts, count_available, describe_task
from api.domain.alert import AlertTarget, Subject
from api.domain.alert_rule import RuleScope
from api.domain.cause import Cause, CauseCode
from api.domain.hold import Hold
from api.domain.progress import Stage
from api.domain.task import TaskType
from api.domain.training import TaskStatus, TaskSummary
from api.gpus.state import GPUState
from api.util.clock import Clock, time_of
from api.util.formatting import as_sentence, shorten

#: A task that has finished is a fact for so long: then its failure is history.
FINISHED = timedelta(days=1)

#: Losses from which the usual one is taken, and how few say nothing yet.
_LOSSES, _FEW_LOSSES = 200, 30

#: Seconds of training after which a pace is believed.
_STABLE_SECONDS = 300.0

#: What only a task that runs has.
_OF_PROGRESS = (
    "loss",
    "loss_excess",
    "progress",
    "step_time",
    "eta",
    "eta_total",
    "eta_total_first",
    "eta_slip",
)

_GRAVE = (CauseCode.GPU_LOST, CauseCode.DISK_FULL)

#: What messages say of causes whose own words are long: a phone shows one line.
_SHORT: Mapping[CauseCode, tuple[str, str]] = {
    CauseCode.CUDA_OUT_OF_MEMORY: (
        "GPU out of memory",
        "Try a smaller batch or resolution, or a higher blocks_to_swap.",
    ),
}

#: Characters of a cause in a message.
_CAUSE_CHARACTERS = 160

#: By the words of a request's `notify`, the rules that it is told of.
TOLD_OF: Mapping[str, tuple[str, ...]] = {
    "finished": ("training_finished",),
    "failed": ("training_failed", "retry_storm"),
    "hung": ("training_hung", "idle_while_leased"),
    "nan": ("loss_nan", "loss_spike"),
    "no_checkpoint": ("no_checkpoint",),
    "slow": ("eta_slips",),
    "waiting": ("queue_waits",),
}


@dataclass(slots=True)
class _Memory:
    """What is remembered of one task."""

    ages: Ages
    attempt: str | None = None
    hung_since: float | None = None
    losses: deque[float] = field(default_factory=lambda: deque(maxlen=_LOSSES))
    step: int | None = None
    eta_total_first: float | None = None


class TaskFacts:
    """Makes the tables of tasks and of the queue. One thread uses it."""

    def __init__(
        self,
        store: AlertFactStore,
        clock: Clock,
        holds: Callable[[], Sequence[Hold]] = tuple,
    ) -> None:
        """`holds` returns every hold, oldest first."""
        self._holds = holds
        self._store = store
        self._clock = clock
        self._queue = QueueFacts(clock)
        self._memories: dict[str, _Memory] = {}
        self._notify: dict[str, dict[str, list[str]]] = {}
        self._asked: set[str] = set()
        self._finished_after, self._newest = datetime.min.replace(tzinfo=UTC), -1

    def tables(self, state: GPUState) -> tuple[FactTable, FactTable]:
        """The facts of all tasks, and of the queue. Raises DatabaseUnavailable."""
        found = self._find_recent()
        self._forget({task.task_id for task in found})
        running = [task.task_id for task in found if task.status.is_active]
        headway = self._store.headway(running) if running else {}
        rows = [self._row(task, headway.get(task.task_id), state) for task in found]
        columns = {name: [row.get(name, UNKNOWN) for row in rows] for name in (rows[0] if rows else {})}
        targets = tuple(self._target(task) for task in found)
        waits = [row["queued_seconds"] for row in rows]
        return FactTable(RuleScope.TASK, targets, columns), self._queue.table(found, waits, state, self._holds())

    def _find_recent(self) -> list[TaskSummary]:
        """Return what is open or has just finished. What had left this list stays away, unless it is open again: to a
        clock that is set back by a year all that finished within that year is recent.
        """
        after = self._clock.steady.now() - FINISHED
        if self._newest < 0:
            self._newest = self._store.newest_task()
        self._finished_after = max(self._finished_after, after)
        found = [task for task in self._store.tasks(after) if self._is_recent(task)]
        self._newest = max(self._newest, *(task.serial for task in found), 0)
        return found

    def _is_recent(self, task: TaskSummary) -> bool:
        if not task.status.is_finished or task.finished_at is None or task.finished_at >= self._finished_after:
            return True
        return task.task_id in self._memories or task.serial > self._newest

    def _forget(self, there: Collection[str]) -> None:
        for known in (self._memories, self._notify):
            for gone in set(known) - set(there):
                del known[gone]
        self._asked &= set(there)
        new = set(there) - self._asked
        if new:
            self._notify |= self._store.notify(new)
            self._asked |= new

    def _row(self, task: TaskSummary, headway: Headway | None, state: GPUState) -> dict[str, float]:
        memory = self._memories.setdefault(task.task_id, _Memory(Ages(self._clock)))
        is_active, is_queued = task.status.is_active, task.status is TaskStatus.QUEUED
        free = count_available(state)
        row = {
            "running": _flag(is_active),
            "completed": _flag(task.status is TaskStatus.COMPLETED),
            "failed": _flag(task.status is TaskStatus.FAILED),
            "failed_gravely": _flag(
                task.status is TaskStatus.FAILED and task.cause is not None and task.cause.code in _GRAVE
            ),
            "queued_seconds": memory.ages.of("queued", task.queued_at) if is_queued else 0.0,
            "gpus_free_for_it": free if is_queued and free >= task.gpu_count else 0.0,
            "gpu_utilization_max": _busiest(task, state),
            **self._headway(task, memory, headway),
            **self._progress(task, memory),
        }
        row["hung_seconds"] = self._hung(task, memory)
        return row

    def _headway(self, task: TaskSummary, memory: _Memory, headway: Headway | None) -> dict[str, float]:
        # Nothing but a training makes checkpoints.
        if headway is None or not task.status.is_active or task.kind is not TaskType.TRAINING:
            return {"checkpoint_age": UNKNOWN, "attempts_without_checkpoint": UNKNOWN}
        saved_at = None if headway.checkpoint_at is None else time_of(headway.checkpoint_at)
        times = {"started": task.started_at, "checkpoint": saved_at}
        ages = [memory.ages.of(what, at) for what, at in times.items() if at is not None]
        return {
            "checkpoint_age": min(ages, default=UNKNOWN),
            "attempts_without_checkpoint": float(headway.attempts_since),
        }

    def _hung(self, task: TaskSummary, memory: _Memory) -> float:
        hangs = task.status.is_active and task.warning_code is not None and task.warning_code.code == "hangs"
        if not hangs:
            memory.hung_since = None
            return 0.0
        monotonic = self._clock.monotonic()
        memory.hung_since = monotonic if memory.hung_since is None else memory.hung_since
        return 1.0 + monotonic - memory.hung_since

    def _progress(self, task: TaskSummary, memory: _Memory) -> dict[str, float]:
        report = task.progress
        warned = task.warning_code is not None and task.warning_code.code == "nan_losses"
        facts = {
            "nan_losses": _flag(task.status.is_active and warned),
            **dict.fromkeys(_OF_PROGRESS, UNKNOWN),
        }
        if report is None or not task.status.is_active:
            return facts
        if memory.attempt != report.attempt:
            memory.attempt, memory.step, memory.eta_total_first = report.attempt, None, None
            memory.losses.clear()
        view, loss = report.progress, report.metrics.current_loss
        if loss is not None:
            facts["loss_excess"] = _excess(loss, memory.losses)
            if view.current_step != memory.step:
                memory.losses.append(loss)
                memory.step = view.current_step
            facts["loss"] = loss
        facts["progress"] = _known(view.overall_progress)
        facts["eta"], facts["step_time"] = _known(view.eta_seconds), _known(report.speed.time_per_step)
        if view.eta_seconds is not None and view.training_time is not None:
            total = view.training_time + view.eta_seconds
            if memory.eta_total_first is None and view.training_time >= _STABLE_SECONDS:
                memory.eta_total_first = total
            if memory.eta_total_first:
                first = memory.eta_total_first
                facts |= {"eta_total": total, "eta_total_first": first, "eta_slip": total / first}
        return facts

    def _target(self, task: TaskSummary) -> AlertTarget:
        labels = {"task_id": task.task_id, "model_type": task.model_type}
        if task.owner is not None:
            labels["owner"] = task.owner
        called = describe_task(task)
        view = None if task.progress is None else task.progress.progress
        loss = None if task.progress is None else task.progress.metrics.current_loss
        words = {
            "name": called,
            "task": called,
            "gpus": str(task.gpu_count),
            "attempts": str(task.attempts),
            "warning": task.warning or "nothing is wrong",
            "hang": (task.warning or "unknown").removeprefix("It seems to hang: ").strip().rstrip("."),
            "at_step": "" if view is None or view.current_step is None else f" at step {view.current_step}",
            **_tell_cause(task.cause),
            "steps": "unknown" if view is None or view.current_step is None else str(view.current_step),
            "loss": "unknown" if loss is None else show_number(loss),
        }
        notify = self._notify.get(task.task_id, {})
        channels, told = notify.get("channels") or [], notify.get("on") or []
        rules = tuple(rule for word in told for rule in TOLD_OF.get(word, ()))
        subject = Subject(task.task_id, task.owner, task.attempts)
        has_failed = task.status is TaskStatus.FAILED
        return AlertTarget(task.task_id, labels, words, task.owner, tuple(channels), rules, subject, has_failed)


def _tell_cause(cause: Cause | None) -> dict[str, str]:
    """Return the words for why a task failed: one line for the sentence, and what to do."""
    if cause is None:
        return {"cause": "unknown reason", "cause_remedy": "Read the end of its log."}
    if cause.code in _SHORT:
        detail, remedy = _SHORT[cause.code]
    else:
        lines = cause.detail.strip().splitlines() or [cause.code.value]
        # Of a trainer's own words the last line is the error.
        detail, remedy = (lines[-1] if cause.code is CauseCode.TRAINER_ERROR else lines[0]), cause.remedy
    return {"cause": shorten(detail, _CAUSE_CHARACTERS).rstrip("."), "cause_remedy": as_sentence(remedy)}


def _busiest(task: TaskSummary, state: GPUState) -> float:
    """The utilisation of the busiest GPU of a task that trains; unknown when one of them is not known."""
    report = task.progress
    if task.status is not TaskStatus.RUNNING or report is None or report.progress.stage is not Stage.TRAINING:
        return UNKNOWN
    mine = [state.by_uuid[uuid] for uuid in task.gpu_uuids if uuid in state.by_uuid]
    values = [gpu.vitals.utilization_gpu for gpu in mine if not gpu.judgement.stale]
    if len(values) < len(task.gpu_uuids) or not values or None in values:
        return UNKNOWN
    return float(max(value for value in values if value is not None))


def _excess(loss: float, losses: Collection[float]) -> float:
    if len(losses) < _FEW_LOSSES:
        return UNKNOWN
    median = statistics.median(losses)
    spread = statistics.median(abs(each - median) for each in losses)
    return UNKNOWN if spread == 0 else (loss - median) / spread


def _known(value: float | None) -> float:
    return UNKNOWN if value is None else float(value)


def _flag(value: bool) -> float:
    return 1.0 if value else 0.0
