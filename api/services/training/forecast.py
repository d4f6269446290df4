"""When waiting tasks may begin, and how long a training may take, by what those that run and those that ran say."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.models.gpu import GPUOffer
from api.models.training import TaskFilter, TaskStatus, TaskSummary
from api.services.attempts.progress import UNKNOWN
from api.services.gpus.offers import list_offers
from api.services.gpus.service import GPUService
from api.services.training.scheduler import suits
from api.storage.tasks import TaskStore
from api.utils.clock import Clock
from api.utils.pagination import MAX_LIMIT

#: Seconds for which a forecast is given again: a page of 50 rows asks 50 times.
FRESH_SECONDS = 2.0

_ACTIVE = TaskFilter(tuple(status for status in TaskStatus if status.is_active))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is to be expected of a waiting task; `position` counts from 1, in the order in which they are served."""

    position: int
    starts_at: datetime | None
    seconds: float | None  #: how long it may take


def forecast_queue(
    queue: Sequence[TaskSummary],
    gpus: Sequence[GPUOffer],
    remaining: Mapping[str, float],
    durations: Mapping[str, float],
    now: datetime,
) -> dict[str, Forecast]:
    """Lets the tasks of a queue, in its order, take the GPUs that come free first.

    `remaining` and `durations` are seconds by task id; what is not in them is not known, nor is what waits for it.
    """
    free_in = {gpu.uuid: 0.0 for gpu in gpus if gpu.is_available}
    free_in |= {gpu.uuid: remaining[gpu.held_by] for gpu in gpus if gpu.held_by and gpu.held_by in remaining}
    found = {}
    for position, task in enumerate(queue, start=1):
        seconds = durations.get(task.task_id)
        able = sorted((gpu for gpu in gpus if gpu.uuid in free_in and suits(gpu, task)), key=lambda g: free_in[g.uuid])
        chosen = able[: task.gpu_count]
        if len(chosen) < task.gpu_count:
            found[task.task_id] = Forecast(position, None, seconds)
            continue
        begin = max(free_in[gpu.uuid] for gpu in chosen)
        for gpu in chosen:
            if seconds is None:
                del free_in[gpu.uuid]
            else:
                free_in[gpu.uuid] = begin + seconds
        found[task.task_id] = Forecast(position, now + timedelta(seconds=begin), seconds)
    return found


class QueueForecast:
    """The forecast of this machine's queue. Any thread may ask."""

    def __init__(self, tasks: TaskStore, gpus: GPUService, clock: Clock) -> None:
        self._tasks = tasks
        self._gpus = gpus
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Forecast] = {}
        self._made_at = float("-inf")

    def of(self, task: TaskSummary) -> Forecast | None:
        """What is to be expected of a task; None when it does not wait."""
        if task.status is not TaskStatus.QUEUED:
            return None
        with self._lock:
            # A task that has just been put into the queue is in no older forecast.
            if self._clock.monotonic() - self._made_at > FRESH_SECONDS or task.task_id not in self._known:
                self._known, self._made_at = self._make(self._tasks.queued()), self._clock.monotonic()
            return self._known.get(task.task_id)

    def starts_at(self, task: TaskSummary) -> datetime | None:
        """When a task that is not in the queue could begin if it were its last."""
        found = self._make([*self._tasks.queued(), task])
        return found[task.task_id].starts_at

    def _make(self, queue: Sequence[TaskSummary]) -> dict[str, Forecast]:
        if not queue:
            return {}
        active, _ = self._tasks.page(_ACTIVE, MAX_LIMIT, None, None)
        remaining = {task.task_id: left for task in active if (left := remaining_seconds(task)) is not None}
        steps, usual = self._tasks.queued_steps(), self._tasks.usual_step_seconds()
        durations = {
            task.task_id: round(steps[task.task_id] * usual[task.model_type, task.gpu_count], 1)
            for task in queue
            if task.task_id in steps and (task.model_type, task.gpu_count) in usual
        }
        return forecast_queue(queue, list_offers(self._gpus.state), remaining, durations, self._clock.now())


def remaining_seconds(task: TaskSummary) -> float | None:
    """How long a running task will still take, as far as it has said."""
    if (task.warning or "").startswith(UNKNOWN):
        return None
    return None if task.progress is None else task.progress.progress.eta_seconds
