"""Forecasts of start times and durations, from running and finished trainings."""

import threading
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from api.domain.machines.gpu import GPUOffer
from api.domain.tasks.durations import UsualDurations
from api.domain.tasks.labels import PriorityClass
from api.domain.tasks.training import TaskFilter, TaskStatus, TaskSummary
from api.domain.tasks.usage import Account, Owner
from api.gpus.offers import list_offers
from api.gpus.service import GPUService
from api.training.attempts.watch.progress_reports import is_unobserved
from api.training.queue.closures import Closures
from api.training.queue.fair_share import in_fair_order
from api.training.queue.quotas import Quotas
from api.training.queue.scheduler import suits
from api.training.records.task_store import TaskStore
from api.util.clock import Clock
from api.util.http.pagination import MAX_LIMIT

#: Seconds for which a forecast is cached, because a page of 50 rows requests it 50 times.
FRESH_SECONDS = 2.0

_ACTIVE = TaskFilter(tuple(status for status in TaskStatus if status.is_active))


_NEVER = float("inf")


class QuotaForecast:
    """The GPUs that owners hold, and until when. Owners without account have no limit."""

    def __init__(
        self,
        accounts: Mapping[Owner, Account],
        active: Sequence[TaskSummary],
        remaining: Mapping[str, float],
        now: datetime,
    ) -> None:
        """Create the forecast. `active` tasks hold GPUs; `remaining` has their remaining seconds, if known."""
        self._accounts = accounts
        self._now = now
        self._held: dict[Owner, list[tuple[float, int]]] = {}
        for task in active:
            self.hold(task, remaining.get(task.task_id))

    def is_barred(self, task: TaskSummary) -> bool:
        """Return whether the owner cannot start any task now, even if GPUs are free."""
        account = self._accounts.get(task.owner)
        return account is not None and (account.has_used_its_hours or account.has_filled_its_storage)

    def permits_in(self, task: TaskSummary) -> float | None:
        """Return the seconds until the owner's quota permits the task to start, or None if unknown."""
        account = self._accounts.get(task.owner)
        if account is None:
            return 0.0
        if account.has_filled_its_storage or (account.has_used_its_hours and account.hours_return_at is None):
            return None
        hours = 0.0
        if account.has_used_its_hours and account.hours_return_at is not None:
            hours = max(0.0, (account.hours_return_at - self._now).total_seconds())
        limit = account.quota.gpus
        gpus = 0.0 if limit is None else self._free_in(task, limit)
        return None if gpus == _NEVER else max(hours, gpus)

    def _free_in(self, task: TaskSummary, limit: int) -> float:
        held = self._held.get(task.owner, [])
        left = sum(gpus for _, gpus in held)
        free_in = 0.0
        for until, gpus in held:
            if left + task.gpu_count <= limit:
                break
            left, free_in = left - gpus, until
        return free_in if left + task.gpu_count <= limit else _NEVER

    def hold(self, task: TaskSummary, until: float | None) -> None:
        """Count the GPUs of a task as held for this many seconds from now. None: unknown."""
        account = self._accounts.get(task.owner)
        if account is not None and account.quota.gpus is not None:
            insort(self._held.setdefault(task.owner, []), (_NEVER if until is None else until, task.gpu_count))


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
    opens_in: Mapping[str, float | None] = MappingProxyType({}),
    leaves_in: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Forecast]:
    """Return forecasts for all queued tasks, by id. In queue order, each task takes the GPUs that become free first.

    `remaining` and `durations` are seconds by task id. Times are unknown for tasks without them, and for tasks that
    wait for these. `opens_in` has the seconds until each closed GPU opens, by UUID; None: never. `leaves_in` has the
    seconds until a task has left its GPUs if an urgent one needs them; afterwards it goes on there.
    """
    quotas = quotas or QuotaForecast({}, (), remaining, now)
    free_in = {gpu.uuid: 0.0 for gpu in gpus if gpu.is_available}
    free_in |= {gpu.uuid: remaining[gpu.held_by] for gpu in gpus if gpu.held_by and gpu.held_by in remaining}
    for uuid, seconds in opens_in.items():
        # The task that holds it must leave, or has left already.
        free_in.pop(uuid, None)
        if seconds is not None:
            free_in[uuid] = seconds
    held = {gpu.uuid: gpu.held_by for gpu in gpus if gpu.held_by and gpu.uuid not in opens_in}
    left_in = {uuid: leaves_in[holder] for uuid, holder in held.items() if holder in leaves_in}
    found = {}
    # Tasks of owners that have used up their hours, and tasks with a later start, take no GPUs from others: they come
    # last.
    for position, task in sorted(
        enumerate(queue, start=1), key=lambda each: quotas.is_barred(each[1]) or _waits_for(each[1], now) > 0
    ):
        seconds, permitted = durations.get(task.task_id), quotas.permits_in(task)
        if permitted is not None:
            permitted = max(permitted, _waits_for(task, now))
        is_urgent = task.priority_class is PriorityClass.URGENT
        usable_in = {**free_in, **_earlier(left_in, free_in)} if is_urgent else free_in
        able = [gpu for gpu in gpus if gpu.uuid in usable_in and suits(gpu, task)]
        chosen = _soonest(able, usable_in, permitted or 0.0)[: task.gpu_count]
        if permitted is None or len(chosen) < task.gpu_count:
            found[task.task_id] = Forecast(position, None, seconds)
            continue
        begin = max(permitted, *(usable_in[gpu.uuid] for gpu in chosen))
        for uuid in (gpu.uuid for gpu in chosen):
            if seconds is None:
                free_in.pop(uuid, None)
                left_in.pop(uuid, None)
            elif uuid in left_in and begin < free_in.get(uuid, _NEVER):
                left_in[uuid] = begin + seconds
                if uuid in free_in:
                    free_in[uuid] += seconds
            else:
                free_in[uuid] = begin + seconds
                left_in.pop(uuid, None)
        quotas.hold(task, None if seconds is None else begin + seconds)
        found[task.task_id] = Forecast(position, now + timedelta(seconds=begin), seconds)
    return found


def _earlier(left_in: Mapping[str, float], free_in: Mapping[str, float]) -> dict[str, float]:
    """Return the GPUs that are left before they are free."""
    return {uuid: seconds for uuid, seconds in left_in.items() if seconds < free_in.get(uuid, _NEVER)}


def _waits_for(task: TaskSummary, now: datetime) -> float:
    """Return the seconds until the earliest start that a user has requested."""
    at = task.not_before
    return 0.0 if at is None else max(0.0, (at - now).total_seconds())


def last_end(forecasts: Sequence[Forecast]) -> datetime | None:
    """Return when the last of these tasks will have ended, or None if there is none or a time is unknown."""
    ends = [
        found.starts_at + timedelta(seconds=found.seconds)
        for found in forecasts
        if found.starts_at is not None and found.seconds is not None
    ]
    return max(ends) if ends and len(ends) == len(forecasts) else None


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

    def __init__(
        self,
        tasks: TaskStore,
        gpus: GPUService,
        closures: Closures,
        clock: Clock,
        quotas: Quotas | None = None,
        leaves_in: Callable[[TaskSummary], float | None] = lambda task: None,
    ) -> None:
        """Create the forecast.

        `leaves_in` returns the seconds until a task has left its GPUs if an urgent one needs them, or None.
        """
        self._leaves_in = leaves_in
        self._closures = closures
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
            if task.task_id not in self._known:
                self._made_at = float("-inf")
            self._refresh()
            return self._known.get(task.task_id)

    def empty_at(self) -> datetime | None:
        """Return when the last queued task will have ended, or None if no task waits or a time is unknown."""
        with self._lock:
            self._refresh()
            return last_end(list(self._known.values()))

    def forget(self) -> None:
        """Discard the forecast, after a change of the queue."""
        with self._lock:
            self._made_at = float("-inf")

    def _refresh(self) -> None:
        if self._clock.monotonic() - self._made_at > FRESH_SECONDS:
            self._known, self._made_at = self._make(self._tasks.queued()), self._clock.monotonic()

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
        pace, work = UsualDurations(self._tasks.completed_runs()), self._tasks.queued_work()
        durations = {task_id: found for task_id, each in work.items() if (found := pace.seconds(each)) is not None}
        offers, now = list_offers(self._gpus.state), self._clock.now()
        closures = self._closures.of(offers)
        opens_in = {
            uuid: None if found.until is None else (found.until - now).total_seconds()
            for uuid, found in closures.items()
        }
        permitted, leaves_in = None, dict[str, float]()
        if any(task.priority_class is PriorityClass.URGENT for task in queue):
            leaves_in = {task.task_id: left for task in active if (left := self._leaves_in(task)) is not None}
        if self._quotas is not None:
            accounts = self._quotas.accounts(task.owner for task in queue)
            queue, permitted = in_fair_order(queue, accounts), QuotaForecast(accounts, active, remaining, now)
        return forecast_queue(queue, offers, remaining, durations, now, permitted, opens_in, leaves_in)


def remaining_seconds(task: TaskSummary) -> float | None:
    """Return the remaining seconds of a running task according to its progress, or None if unknown."""
    if is_unobserved(task):
        return None
    return None if task.progress is None else task.progress.progress.eta_seconds
