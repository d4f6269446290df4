"""Facts about the queue: its waiting times, whether it is stuck, and its holds."""

from collections.abc import Collection, Sequence

from api.alerts.ages import Ages
from api.alerts.evaluation import FactTable
from api.domain.alert import AlertTarget
from api.domain.alert_rule import RuleScope
from api.domain.hold import Hold, HoldKind
from api.domain.training import TaskStatus, TaskSummary
from api.gpus.state import GPUState
from api.util.clock import Clock


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
        first = _first_in_line(queued)
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
            "hold": "no hold" if oldest is None else _describe(oldest),
        }
        return FactTable(RuleScope.QUEUE, (AlertTarget("queue", {}, summary_values),), columns)

    def _stuck(self, first: TaskSummary | None, state: GPUState) -> float:
        """Return the seconds for which the same task has been first in the queue while its GPUs are available."""
        if first is None or count_available(state, first) < first.gpu_count:
            self._first = None
            return 0.0
        monotonic = self._clock.monotonic()
        if self._first is None or self._first[0] != first.task_id:
            self._first = (first.task_id, monotonic)
        return monotonic - self._first[1]


def _first_in_line(queued: Collection[TaskSummary]) -> TaskSummary | None:
    waiting = [task for task in queued if task.needs_gpus]
    return min(waiting, key=lambda task: (-task.priority, task.queued_at, task.serial), default=None)


def _describe(hold: Hold) -> str:
    what = "The queue" if hold.kind is HoldKind.QUEUE else f"GPU {hold.gpu_uuid}"
    return f"{what} is held by {hold.made_by} ({hold.reason})"


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
