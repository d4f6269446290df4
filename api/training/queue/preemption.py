"""Pre-emption: urgent tasks that find no free GPU get those of background trainings, which stop with a checkpoint."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from api.domain.machines.gpu import GPUOffer, GPUStatus
from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.labels import PriorityClass
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskStatus, TaskSummary
from api.training.queue.scheduler import suits
from api.training.records.task_store import TaskStore
from api.util.clock import Clock

logger = logging.getLogger(__name__)

_CAUSE = Cause.of(
    CauseCode.URGENT_TASK,
    "urgent_task",
    "It has made room for an urgent training.",
    "It resumes automatically from its checkpoint.",
)


#: What a stop costs: the number of GPUs that stop working, and the seconds since the training was started or resumed.
Cost = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Victim:
    """A background training that may stop."""

    task_id: str
    useful: int  #: how many of its GPUs the urgent task can use
    cost: Cost


class Preemption:
    """Stops background trainings. One thread calls `check`."""

    def __init__(
        self,
        tasks: TaskStore,
        running_seconds: Callable[[str], float | None],
        clock: Clock,
        after_seconds: float,
    ) -> None:
        """Create the pre-emption of trainings that have run for `after_seconds`.

        `running_seconds` returns since when a task's attempt runs, whatever the wall clock did. None: that is unknown,
        or a stop would lose work, because it still loads or caches.
        """
        self._tasks = tasks
        self._running_seconds = running_seconds
        self._clock = clock
        self._after = after_seconds

    def check(
        self,
        urgent: Sequence[TaskSummary],
        queue: Sequence[TaskSummary],
        offers: Sequence[GPUOffer],
        nodes_of: Mapping[str, frozenset[str]],
        max_concurrent: int,
    ) -> None:
        """Stop the trainings whose GPUs these waiting tasks need. `queue` has all waiting tasks.

        A task for which others stop now, or have lately, waits for their GPUs. Raise DatabaseUnavailable.
        """
        active = {task.task_id: task for task in self._tasks.active()}
        leaving = {task_id for task_id, task in active.items() if task.status is TaskStatus.STOPPING}
        background = {
            task_id: (task.gpu_count, seconds)
            for task_id, task in active.items()
            if (seconds := self._age(task)) is not None
        }
        served = {active[task_id].preempted_by for task_id in leaving} | {
            task.preempted_by for task in queue if (self._clock.now() - task.updated_at).total_seconds() < self._after
        }
        places = max_concurrent - len(active) + len(leaving) if max_concurrent else len(urgent)
        taken = set[str]()
        for task in urgent:
            nodes = nodes_of.get(task.task_id)
            able = [
                gpu
                for gpu in offers
                if gpu.uuid not in taken and suits(gpu, task) and (nodes is None or gpu.node in nodes)
            ]
            may_stop = {} if task.task_id in served else background
            gpus, victims = _choose(task.gpu_count, able, leaving, may_stop, needs_place=places <= 0)
            taken.update(gpu.uuid for gpu in gpus)
            for victim in victims:
                if self._tasks.make_room(victim.task_id, _CAUSE, self._clock.now(), task.task_id):
                    logger.info("task is preempted", extra={"task_id": victim.task_id, "by": task.task_id})
                del background[victim.task_id]
            places += len(victims) - 1

    def allowed_in(self, task: TaskSummary) -> float | None:
        """Return the seconds until this task may be stopped for an urgent one, or None if it may not."""
        seconds = self._background_seconds(task)
        return None if seconds is None else max(0.0, self._after - seconds)

    def _age(self, task: TaskSummary) -> float | None:
        """Return the seconds since a training that may be stopped was started or resumed, else None."""
        seconds = self._background_seconds(task)
        return None if seconds is None or seconds < self._after else seconds

    def _background_seconds(self, task: TaskSummary) -> float | None:
        if task.priority_class is not PriorityClass.BACKGROUND or task.kind is not TaskType.TRAINING:
            return None
        return self._running_seconds(task.task_id) if task.status is TaskStatus.RUNNING else None


def _choose(
    count: int,
    able: Sequence[GPUOffer],
    leaving: set[str],
    background: Mapping[str, Cost],
    *,
    needs_place: bool,
) -> tuple[list[GPUOffer], list[Victim]]:
    """Return the GPUs of one node for a task, and the trainings that must leave them.

    The fewest trainings leave; of equally many, those with the fewest GPUs that were started last.
    """
    by_node: dict[str, list[GPUOffer]] = {}
    for gpu in able:
        by_node.setdefault(gpu.node, []).append(gpu)
    found: list[tuple[list[GPUOffer], list[Victim]]] = []
    for gpus in by_node.values():
        coming = [gpu for gpu in gpus if _is_coming(gpu, leaving)]
        missing = max(count - len(coming), int(needs_place))
        victims = _fewest(_victims(gpus, background), missing) if missing > 0 else []
        if victims is not None:
            left = {victim.task_id for victim in victims}
            found.append((([gpu for gpu in gpus if gpu.held_by in left] + coming)[:count], victims))
    return min(found, key=lambda each: _cost(each[1]), default=([], []))


def _is_coming(gpu: GPUOffer, leaving: set[str]) -> bool:
    return gpu.is_available or gpu.status is GPUStatus.DRAINING or gpu.held_by in leaving


def _victims(gpus: Sequence[GPUOffer], background: Mapping[str, Cost]) -> list[Victim]:
    holders = Counter(gpu.held_by for gpu in gpus if gpu.held_by in background)
    return [Victim(holder, useful, background[holder]) for holder, useful in holders.items() if holder is not None]


def _cost(victims: Sequence[Victim]) -> tuple[int, int, float]:
    return len(victims), sum(each.cost[0] for each in victims), sum(each.cost[1] for each in victims)


def _fewest(victims: Sequence[Victim], missing: int) -> list[Victim] | None:
    """Return the fewest of these trainings that together leave enough GPUs, or None if all do not."""
    chosen: list[Victim] = []
    for victim in sorted(victims, key=lambda each: (-each.useful, each.cost)):
        rest = missing - sum(each.useful for each in chosen)
        enough = [each for each in victims if each.useful >= rest and each not in chosen]
        if enough:
            return [*chosen, min(enough, key=lambda each: each.cost)]
        chosen.append(victim)
    return None
