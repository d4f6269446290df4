"""Facts about tasks, from the database and the published state."""

import statistics
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from api.alerts.evaluation import UNKNOWN, FactTable, show_number
from api.alerts.facts.ages import Ages
from api.alerts.records.fact_store import AlertFactStore, CheckpointProgress
from api.domain.alerts.alert import AlertTarget, Subject
from api.domain.alerts.alert_rule import RuleScope
from api.domain.machines.hold import Hold, HoldKind
from api.domain.reason import Reason, ReasonOrText, load_message, message_of, text_of
from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.progress import Stage
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskStatus, TaskSummary, in_queue_order
from api.gpus.state import GPUState
from api.util.clock import Clock, time_of
from api.util.text.formatting import as_sentence, shorten

#: Age after which a finished task is no longer a fact.
FINISHED = timedelta(days=1)

#: Number of losses from which the median is computed, and the minimum for it.
_LOSSES, _FEW_LOSSES = 200, 30

#: Seconds of training after which an estimate is reliable.
_STABLE_SECONDS = 300.0

#: Facts that only a running task has.
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

_SEVERE_CAUSES = (CauseCode.GPU_LOST, CauseCode.DISK_FULL)

#: Short texts for causes with long messages, since a phone shows one line: (cause, remedy).
_SHORT: Mapping[CauseCode, tuple[Reason, Reason]] = {
    CauseCode.CUDA_OUT_OF_MEMORY: (
        Reason.of("GPU out of memory", "short_gpu_memory"),
        Reason.of("Try a smaller batch or resolution, or a higher blocks_to_swap.", "short_gpu_memory_remedy"),
    ),
}
_UNKNOWN_CAUSE = (Reason.of("unknown reason", "cause_unknown"), Reason.of("Read the end of its log.", "read_log"))
_UNKNOWN = Reason.of("unknown", "value_not_known")

#: Maximum length of a cause in a message.
_CAUSE_CHARACTERS = 160

#: The rules that each value of a request's `notify` selects.
NOTIFY_RULES: Mapping[str, tuple[str, ...]] = {
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
    """Values of one task from earlier rounds, for facts that depend on time."""

    ages: Ages
    attempt: str | None = None
    hung_since: float | None = None
    losses: deque[float] = field(default_factory=lambda: deque(maxlen=_LOSSES))
    step: int | None = None
    eta_total_first: float | None = None


class TaskFacts:
    """Computes the tables of tasks and of the queue. Not thread-safe."""

    def __init__(
        self,
        store: AlertFactStore,
        clock: Clock,
        holds: Callable[[], Sequence[Hold]] = tuple,
    ) -> None:
        """Create the facts. `holds` returns every hold, oldest first."""
        self._holds = holds
        self._store = store
        self._clock = clock
        self._queue = QueueFacts(clock)
        self._memories: dict[str, _Memory] = {}
        self._notify: dict[str, dict[str, list[str]]] = {}
        self._loaded: set[str] = set()
        self._finished_after, self._newest = datetime.min.replace(tzinfo=UTC), -1

    def tables(self, state: GPUState) -> tuple[FactTable, FactTable]:
        """Return the facts of all tasks, and of the queue. Raises DatabaseUnavailable."""
        found = self._find_recent()
        self._update_known({task.task_id for task in found})
        running = [task.task_id for task in found if task.status.is_active]
        checkpoint_progress = self._store.checkpoint_progress(running) if running else {}
        rows = [self._row(task, checkpoint_progress.get(task.task_id), state) for task in found]
        columns = {name: [row.get(name, UNKNOWN) for row in rows] for name in (rows[0] if rows else {})}
        targets = tuple(self._target(task) for task in found)
        waits = [row["queued_seconds"] for row in rows]
        return FactTable(RuleScope.TASK, targets, columns), self._queue.table(found, waits, state, self._holds())

    def _find_recent(self) -> list[TaskSummary]:
        """Return open and recently finished tasks.

        A finished task that has left this list does not come back: if the clock is set back by a year, all tasks that
        finished within that year would be recent.
        """
        after = self._clock.steady.now() - FINISHED
        if self._newest < 0:
            self._newest = self._store.newest_task()
        self._finished_after = max(self._finished_after, after)
        # A rehearsal may fail: its user waits for the result, and no alert is needed.
        tasks = (task for task in self._store.tasks(after) if task.kind is not TaskType.REHEARSAL)
        found = [task for task in tasks if self._is_recent(task)]
        self._newest = max(self._newest, *(task.serial for task in found), 0)
        return found

    def _is_recent(self, task: TaskSummary) -> bool:
        if not task.status.is_finished or task.finished_at is None or task.finished_at >= self._finished_after:
            return True
        return task.task_id in self._memories or task.serial > self._newest

    def _update_known(self, task_ids: Collection[str]) -> None:
        for known in (self._memories, self._notify):
            for task_id in set(known) - set(task_ids):
                del known[task_id]
        self._loaded &= set(task_ids)
        new = set(task_ids) - self._loaded
        if new:
            self._notify |= self._store.notify(new)
            self._loaded |= new

    def _row(
        self, task: TaskSummary, checkpoint_progress: CheckpointProgress | None, state: GPUState
    ) -> dict[str, float]:
        memory = self._memories.setdefault(task.task_id, _Memory(Ages(self._clock)))
        is_active = task.status.is_active
        is_queued = task.status is TaskStatus.QUEUED and task.is_due(self._clock.now())
        waits_since = max(task.queued_at, task.not_before or task.queued_at)
        free = count_available(state)
        row = {
            "running": _flag(is_active),
            "completed": _flag(task.status is TaskStatus.COMPLETED and self._is_news(task)),
            "failed": _flag(task.status is TaskStatus.FAILED),
            "failed_gravely": _flag(
                task.status is TaskStatus.FAILED and task.cause is not None and task.cause.code in _SEVERE_CAUSES
            ),
            "queued_seconds": memory.ages.of("queued", waits_since) if is_queued else 0.0,
            "gpus_free_for_it": free if is_queued and free >= task.gpu_count else 0.0,
            "gpu_utilization_max": _busiest(task, state),
            **self._headway(task, memory, checkpoint_progress),
            **self._progress(task, memory),
        }
        row["hung_seconds"] = self._hung(task, memory)
        return row

    def _is_news(self, task: TaskSummary) -> bool:
        """Return whether its completion is notified: of samples and exports only on request."""
        is_requested = "finished" in (self._notify.get(task.task_id, {}).get("on") or ())
        return is_requested or task.kind not in (TaskType.SAMPLE, TaskType.EXPORT)

    def _headway(
        self, task: TaskSummary, memory: _Memory, checkpoint_progress: CheckpointProgress | None
    ) -> dict[str, float]:
        # Only trainings save checkpoints.
        if checkpoint_progress is None or not task.status.is_active or task.kind is not TaskType.TRAINING:
            return {"checkpoint_age": UNKNOWN, "attempts_without_checkpoint": UNKNOWN}
        saved_at = None if checkpoint_progress.checkpoint_at is None else time_of(checkpoint_progress.checkpoint_at)
        times = {"started": task.started_at, "checkpoint": saved_at}
        ages = [memory.ages.of(name, at) for name, at in times.items() if at is not None]
        return {
            "checkpoint_age": min(ages, default=UNKNOWN),
            "attempts_without_checkpoint": float(checkpoint_progress.attempts_since),
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
        title = describe_task(task)
        view = None if task.progress is None else task.progress.progress
        loss = None if task.progress is None else task.progress.metrics.current_loss
        summary_values = {
            "name": title,
            "task": title,
            "gpus": str(task.gpu_count),
            "attempts": str(task.attempts),
            "warning": task.warning or "no problem",
            "hang": _describe_hang(task),
            "at_step": "" if view is None or view.current_step is None else f" at step {view.current_step}",
            **_describe_cause(task.cause),
            "steps": _UNKNOWN.text if view is None or view.current_step is None else str(view.current_step),
            "loss": _UNKNOWN.text if loss is None else show_number(loss),
        }
        notify = self._notify.get(task.task_id, {})
        channels, selected = notify.get("channels") or [], notify.get("on") or []
        rules = tuple(rule for value in selected for rule in NOTIFY_RULES.get(value, ()))
        subject = Subject(task.task_id, task.owner, task.attempts)
        has_failed = task.status is TaskStatus.FAILED
        return AlertTarget(
            task.task_id,
            labels,
            summary_values,
            task.owner,
            tuple(channels),
            rules,
            subject,
            has_failed,
            _code_values(task, summary_values),
        )


def _code_values(task: TaskSummary, texts: Mapping[str, str]) -> dict[str, ReasonOrText]:
    """Return the values of a task's alerts that have a code."""
    found: dict[str, ReasonOrText] = {}
    view = None if task.progress is None else task.progress.progress
    said, cause = task.warning_code, task.cause
    if view is not None and view.current_step is not None:
        found["at_step"] = Reason.of(" at step {step}", "at_step", step=view.current_step)
    if said is not None and said.code == "hangs":
        hang = load_message(said.params.get("hang", ""))
        found["hang"] = Reason.of("{hang}.{last}", "hang_and_error", hang=hang, last=said.params.get("last") or "")
    elif task.warning is not None:
        found["hang"] = message_of(task.warning, said)
    if cause is None:
        found["cause"], found["cause_remedy"] = _UNKNOWN_CAUSE
    elif cause.code in _SHORT:
        found["cause"], found["cause_remedy"] = _SHORT[cause.code]
    else:
        # The last line of a trainer's own message is the error.
        found["cause"] = texts["cause"] if cause.detail_code is None else cause.message
        found["cause_remedy"] = message_of(cause.remedy, cause.remedy_code)
    for name in ("steps", "loss"):
        if texts[name] == _UNKNOWN.text:
            found[name] = _UNKNOWN
    return found


def _describe_hang(task: TaskSummary) -> str:
    """Return why a task seems to hang, without a full stop; its warning if it has another one."""
    said = task.warning_code
    if said is None or said.code != "hangs":
        return (task.warning or "unknown").strip().rstrip(".")
    hang, last_error = (text_of(load_message(said.params.get(name, ""))) for name in ("hang", "last"))
    return f"{hang}.{last_error}".rstrip(".")


def _describe_cause(cause: Cause | None) -> dict[str, str]:
    """Return the words for the cause of a failure: one line, and the remedy."""
    if cause is None:
        return {"cause": _UNKNOWN_CAUSE[0].text, "cause_remedy": _UNKNOWN_CAUSE[1].text}
    if cause.code in _SHORT:
        detail, remedy = map(text_of, _SHORT[cause.code])
    else:
        lines = cause.detail.strip().splitlines() or [cause.code.value]
        # The last line of a trainer's own message is the error.
        detail, remedy = (lines[-1] if cause.code is CauseCode.TRAINER_ERROR else lines[0]), cause.remedy
    return {"cause": shorten(detail, _CAUSE_CHARACTERS).rstrip("."), "cause_remedy": as_sentence(remedy)}


def _busiest(task: TaskSummary, state: GPUState) -> float:
    """Return the utilization of a training's busiest GPU; UNKNOWN if one of them is unknown."""
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


class QueueFacts:
    """Computes the table of the queue. Not thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ages = Ages(clock)
        self._first: tuple[str, float] | None = None

    def table(
        self, tasks: Collection[TaskSummary], waits: Sequence[float], state: GPUState, holds: Sequence[Hold]
    ) -> FactTable:
        """Return the facts.

        `waits` contains the waiting time of each task in seconds, and `holds` every hold.
        """
        queued = [task for task in tasks if task.status is TaskStatus.QUEUED]
        is_held = any(hold.kind is HoldKind.QUEUE for hold in holds)
        due = [task for task in queued if task.needs_gpus and task.is_due(self._clock.now())]
        first = next(iter(in_queue_order(due)), None)
        self._ages.retain([hold.hold_id for hold in holds])
        ages = {hold: self._ages.of(hold.hold_id, hold.created_at) for hold in holds}
        oldest = max(holds, key=ages.__getitem__, default=None)
        columns = {
            "waiting": [float(len(queued))],
            "oldest_seconds": [max(waits, default=0.0)],
            "gpus_available": [count_available(state)],
            "stuck_seconds": [self._stuck(None if is_held else first, state)],
            "hold_seconds": [0.0 if oldest is None else ages[oldest]],
        }
        summary_values = {
            "name": "queue",
            "first": "nothing" if first is None else describe_task(first),
            "hold": "no hold" if oldest is None else _describe(oldest).text,
        }
        coded = {} if oldest is None else {"hold": _describe(oldest)}
        return FactTable(RuleScope.QUEUE, (AlertTarget("queue", {}, summary_values, coded_values=coded),), columns)

    def _stuck(self, first: TaskSummary | None, state: GPUState) -> float:
        """Return the seconds for which the same task has been first in the queue while its GPUs are available."""
        if first is None or count_available(state, first) < first.gpu_count:
            self._first = None
            return 0.0
        monotonic = self._clock.monotonic()
        if self._first is None or self._first[0] != first.task_id:
            self._first = (first.task_id, monotonic)
        return monotonic - self._first[1]


def _describe(hold: Hold) -> Reason:
    if hold.kind is HoldKind.QUEUE:
        return Reason.of("The queue is held by {by} ({reason})", "queue_held_by", by=hold.made_by, reason=hold.reason)
    gpu, by, reason = hold.gpu_uuid, hold.made_by, hold.reason
    return Reason.of("GPU {gpu} is held by {by} ({reason})", "gpu_held_by", gpu=gpu, by=by, reason=reason)


def describe_task(task: TaskSummary) -> str:
    """Return the name of a task in alerts, or its id if it has no name. Labels and links contain the id."""
    return task.name or task.task_id


def count_available(state: GPUState, task: TaskSummary | None = None) -> float:
    """Return how many GPUs a task could get now; with `task`, only those that it requests."""
    usable = [gpu for gpu in state.gpus if not state.is_fleet or gpu.node in state.startable]
    requested = () if task is None else task.gpus.references
    if requested:
        usable = [gpu for gpu in usable if gpu.reading.uuid in requested or gpu.reading.index in requested]
    return float(sum(gpu.judgement.is_available for gpu in usable))
