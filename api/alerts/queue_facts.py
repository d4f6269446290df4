"""Facts about the queue: how long it waits, whether it is stuck, and what is held back."""

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
    """Makes the table of the queue. One thread uses it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ages = Ages(clock)
        self._first: tuple[str, float] | None = None

    def table(
        self, tasks: Collection[TaskSummary], waits: Sequence[float], state: GPUState, holds: Sequence[Hold]
    ) -> FactTable:
        """Return the facts. `waits` has for each task the seconds that it has waited, and `holds` every hold."""
        queued = [task for task in tasks if task.status is TaskStatus.QUEUED]
        is_held = any(hold.kind is HoldKind.QUEUE for hold in holds)
        first = _first_in_line(queued)
        self._ages.keep([hold.hold_id for hold in holds])
        ages = {hold: self._ages.of(hold.hold_id, hold.created_at) for hold in holds}
        oldest = max(holds, key=ages.__getitem__, default=None)
        columns = {
            "waiting": [float(len(queued))],
            "oldest_seconds": [max(waits, default=0.0)],
            "gpus_available": [count_available(state)],
            "stuck_seconds": [self._stuck(None if is_held else first, state)],
            "hold_seconds": [0.0 if oldest is None else ages[oldest]],
        }
        words = {
            "name": "queue",
            "first": "nothing" if first is None else describe_task(first),
            "hold": "nothing is held" if oldest is None else _describe(oldest),
        }
        return FactTable(RuleScope.QUEUE, (AlertTarget("queue", {}, words),), columns)

    def _stuck(self, first: TaskSummary | None, state: GPUState) -> float:
        """For how long the same task has been first in line while it could have had its GPUs."""
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
    """Return what a task is called in alerts: its name, or its id where it has none. Labels and links have the id."""
    return task.name or task.task_id


def count_available(state: GPUState, task: TaskSummary | None = None) -> float:
    """Return how many GPUs a task could get now; with `task` only those that it asks for."""
    usable = [gpu for gpu in state.gpus if not state.is_fleet or gpu.node in state.startable]
    asked = () if task is None else task.gpus.references
    if asked:
        usable = [gpu for gpu in usable if gpu.reading.uuid in asked or gpu.reading.index in asked]
    return float(sum(gpu.judgement.is_available for gpu in usable))
