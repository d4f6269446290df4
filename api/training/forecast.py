"""Forecasts of start times and durations, from running and finished trainings."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.domain.gpu import GPUOffer
from api.domain.training import TaskFilter, TaskStatus, TaskSummary
from api.gpus.offers import list_offers
from api.gpus.service import GPUService
from api.training.attempts.progress import is_unobserved
from api.training.fair_share import in_fair_order
from api.training.quota_forecast import QuotaForecast
from api.training.quotas import Quotas
from api.training.scheduler import suits
from api.training.store import TaskStore
from api.util.clock import Clock
from api.util.pagination import MAX_LIMIT

#: Seconds for which a forecast is cached, because a page of 50 rows requests it 50 times.
FRESH_SECONDS = 2.0

_ACTIVE = TaskFilter(tuple(status for status in TaskStatus if status.is_active))


@dataclass(frozen=True, slots=True)
class Forecast:
    """The expected start and duration of a queued task. `position` counts from 1."""

    position: int
    starts_at: datetime | None
    seconds: float | None  #: expected duration of the training


def forecast_queue(
    queue: Sequence[TaskSummary],
    gpus: Sequence[GPUOffer],
    remaining: Mapping[str, float],
    durations: Mapping[str, float],
    now: datetime,
    quotas: QuotaForecast | None = None,
) -> dict[str, Forecast]:
    """Return forecasts for all queued tasks, by id. In queue order, each task takes the GPUs that become free first.

    `remaining` and `durations` are seconds by task id. Times are unknown for tasks without them, and for tasks that
    wait for these.
    """
    quotas = quotas or QuotaForecast({}, (), remaining, now)
    free_in = {gpu.uuid: 0.0 for gpu in gpus if gpu.is_available}
    free_in |= {gpu.uuid: remaining[gpu.held_by] for gpu in gpus if gpu.held_by and gpu.held_by in remaining}
    found = {}
    # Owners that have used up their hours take no GPUs from later tasks, so they come last.
    for position, task in sorted(enumerate(queue, start=1), key=lambda indexed: quotas.is_barred(indexed[1])):
        seconds, permitted = durations.get(task.task_id), quotas.permits_in(task)
        able = [gpu for gpu in gpus if gpu.uuid in free_in and suits(gpu, task)]
        chosen = _soonest(able, free_in, permitted or 0.0)[: task.gpu_count]
        if permitted is None or len(chosen) < task.gpu_count:
            found[task.task_id] = Forecast(position, None, seconds)
            continue
        begin = max(permitted, *(free_in[gpu.uuid] for gpu in chosen))
        for gpu in chosen:
            if seconds is None:
                del free_in[gpu.uuid]
            else:
                free_in[gpu.uuid] = begin + seconds
        quotas.note(task, None if seconds is None else begin + seconds)
        found[task.task_id] = Forecast(position, now + timedelta(seconds=begin), seconds)
    return found


def _soonest(gpus: Sequence[GPUOffer], free_in: Mapping[str, float], at: float) -> list[GPUOffer]:
    """Sort GPUs by when they can be used from `at` on.

    Of GPUs that are free before, the one freed last comes first, because the others can run other tasks in between.
    """

    def rank(gpu: GPUOffer) -> tuple[bool, float]:
        free = free_in[gpu.uuid]
        return (free > at, free if free > at else -free)

    return sorted(gpus, key=rank)


class QueueForecast:
    """The forecast of this machine's queue. Thread-safe."""

    def __init__(self, tasks: TaskStore, gpus: GPUService, clock: Clock, quotas: Quotas | None = None) -> None:
        self._quotas = quotas
        self._tasks = tasks
        self._gpus = gpus
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Forecast] = {}
        self._made_at = float("-inf")

    def of(self, task: TaskSummary) -> Forecast | None:
        """Return the forecast of a task, or None if it does not wait for GPUs."""
        if task.status is not TaskStatus.QUEUED or not task.needs_gpus:
            return None
        with self._lock:
            # A newly queued task is missing in older forecasts.
            if self._clock.monotonic() - self._made_at > FRESH_SECONDS or task.task_id not in self._known:
                self._known, self._made_at = self._make(self._tasks.queued()), self._clock.monotonic()
            return self._known.get(task.task_id)

    def starts_at(self, task: TaskSummary) -> datetime | None:
        """Return when a task could start if it joined the queue now, or None if unknown."""
        found = self._make([*self._tasks.queued(), task])
        return found[task.task_id].starts_at

    def _make(self, waiting: Sequence[TaskSummary]) -> dict[str, Forecast]:
        queue = [task for task in waiting if task.needs_gpus]
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
        offers, now = list_offers(self._gpus.state), self._clock.now()
        if self._quotas is None:
            return forecast_queue(queue, offers, remaining, durations, now)
        accounts = self._quotas.accounts(task.owner for task in queue)
        permitted = QuotaForecast(accounts, active, remaining, now)
        return forecast_queue(in_fair_order(queue, accounts), offers, remaining, durations, now, permitted)


def remaining_seconds(task: TaskSummary) -> float | None:
    """Return the remaining seconds of a running task according to its progress, or None if unknown."""
    if is_unobserved(task):
        return None
    return None if task.progress is None else task.progress.progress.eta_seconds
