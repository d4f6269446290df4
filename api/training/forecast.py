"""Estimates when waiting tasks may begin, and how long a training may take, from those that run and ran."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.domain.gpu import GPUOffer
from api.domain.training import TaskFilter, TaskStatus, TaskSummary
from api.gpus.offers import list_offers
from api.gpus.service import GPUService
from api.training.attempts.progress import UNKNOWN
from api.training.fair_share import in_fair_order
from api.training.quota_forecast import QuotaForecast
from api.training.quotas import Quotas
from api.training.scheduler import suits
from api.training.store import TaskStore
from api.util.clock import Clock
from api.util.pagination import MAX_LIMIT

#: Seconds for which a forecast is kept: a page of 50 rows asks 50 times.
FRESH_SECONDS = 2.0

_ACTIVE = TaskFilter(tuple(status for status in TaskStatus if status.is_active))


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a waiting task may begin and how long it may take; `position` is its place in the queue, from 1."""

    position: int
    starts_at: datetime | None
    seconds: float | None  #: how long the training may take


def forecast_queue(
    queue: Sequence[TaskSummary],
    gpus: Sequence[GPUOffer],
    remaining: Mapping[str, float],
    durations: Mapping[str, float],
    now: datetime,
    quotas: QuotaForecast | None = None,
) -> dict[str, Forecast]:
    """Forecasts for all tasks of a queue, by id: in its order each takes the GPUs that come free first.

    `remaining` and `durations` are seconds by task id; for a task without them, and those that wait for it, the
    times are unknown.
    """
    quotas = quotas or QuotaForecast({}, (), remaining, now)
    free_in = {gpu.uuid: 0.0 for gpu in gpus if gpu.is_available}
    free_in |= {gpu.uuid: remaining[gpu.held_by] for gpu in gpus if gpu.held_by and gpu.held_by in remaining}
    found = {}
    # Who is barred for hours takes nothing from those behind.
    for position, task in sorted(enumerate(queue, start=1), key=lambda placed: quotas.is_barred(placed[1])):
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
    """The GPUs by when they can be used from `at` on. Of those that are free before it the latest comes first: the
    others may serve somebody else meanwhile.
    """

    def rank(gpu: GPUOffer) -> tuple[bool, float]:
        free = free_in[gpu.uuid]
        return (free > at, free if free > at else -free)

    return sorted(gpus, key=rank)


class QueueForecast:
    """The forecast of this machine's queue. Any thread may ask."""

    def __init__(self, tasks: TaskStore, gpus: GPUService, clock: Clock, quotas: Quotas | None = None) -> None:
        self._quotas = quotas
        self._tasks = tasks
        self._gpus = gpus
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Forecast] = {}
        self._made_at = float("-inf")

    def of(self, task: TaskSummary) -> Forecast | None:
        """The forecast of a task; None when it does not wait for GPUs."""
        if task.status is not TaskStatus.QUEUED or not task.needs_gpus:
            return None
        with self._lock:
            # A task that has just been put into the queue is in no older forecast.
            if self._clock.monotonic() - self._made_at > FRESH_SECONDS or task.task_id not in self._known:
                self._known, self._made_at = self._make(self._tasks.queued()), self._clock.monotonic()
            return self._known.get(task.task_id)

    def starts_at(self, task: TaskSummary) -> datetime | None:
        """When a task could begin if it joined the end of the queue now; None when unknown."""
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
    """Seconds that a running task will still take, by its own progress; None when unknown."""
    if (task.warning or "").startswith(UNKNOWN):
        return None
    return None if task.progress is None else task.progress.progress.eta_seconds
