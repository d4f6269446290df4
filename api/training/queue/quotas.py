"""Quotas and usage of owners, for the scheduler's passes and for requests that start tasks."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from api.domain.access.principal import Quota
from api.domain.reason import Reason
from api.domain.tasks.training import TaskSummary, TrainingRequest
from api.domain.tasks.usage import DAY_SECONDS, GB, Account, GPUHold, Owner, Usage
from api.errors import QuotaExceeded
from api.training.output.storage_meter import StorageMeter
from api.training.queue import quota_reasons
from api.training.queue.fair_share import in_fair_order
from api.training.records.usage_store import Bound, UsageStore
from api.util.clock import Clock

#: Seconds for which used GPU hours are cached while no GPU is assigned or freed.
FRESH_SECONDS = 10.0


class Quotas:
    """Quotas and usage by owner, for a service with keys. Thread-safe."""

    def __init__(self, usage: UsageStore, quota_of: Callable[[str], Quota], meter: StorageMeter, clock: Clock) -> None:
        """Create the quotas. `quota_of` returns the limits of a user."""
        self._usage = usage
        self._quota_of = quota_of
        self.meter = meter
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: Mapping[Owner, float] = {}
        self._held: Mapping[str, int] = {}
        self._holds: dict[str, Sequence[GPUHold]] = {}  #: holds of owners whose hours are used up
        self._counted_at = float("-inf")

    def accounts(self, owners: Iterable[Owner]) -> Mapping[Owner, Account]:
        """Return the accounts of these owners."""
        requested = set(owners)
        held = self._usage.held()
        spent = self._spent_last_day(held)
        return {owner: self._account(owner, held.get(owner or "", 0), spent.get(owner, 0.0)) for owner in requested}

    def _account(self, owner: Owner, gpus: int, gpu_seconds: float) -> Account:
        if owner is None:
            return Account(gpu_seconds=gpu_seconds)
        account = Account(self._quota_of(owner), gpus, gpu_seconds, None, self.meter.bytes_of(owner))
        if not account.has_used_its_hours:
            return account
        limit = (account.quota.gpu_hours_per_day or 0.0) * 3600
        returns_at = when_below(self._holds_of(owner), limit, self._clock.now())
        return Account(account.quota, gpus, gpu_seconds, returns_at, account.storage_bytes)

    def _spent_last_day(self, held: Mapping[str, int]) -> Mapping[Owner, float]:
        """Return the GPU seconds by owner. A change of `held`, the GPUs in use by owner, invalidates the cache."""
        now = self._clock.monotonic()
        with self._lock:
            if now - self._counted_at > FRESH_SECONDS or held != self._held:
                self._spent, self._holds = self._usage.gpu_seconds(self._clock.now()), {}
                self._counted_at, self._held = now, held
            return self._spent

    def _holds_of(self, owner: str) -> Sequence[GPUHold]:
        with self._lock:
            if owner not in self._holds:
                self._holds[owner] = self._usage.holds(owner, self._clock.now())
            return self._holds[owner]

    def in_order(self, queue: Sequence[TaskSummary]) -> Sequence[TaskSummary]:
        """Return a queue sorted by priority and age in the order in which its tasks start."""
        return in_fair_order(queue, self.accounts(task.owner for task in queue))

    def usage_of(self, user_ids: Iterable[str]) -> dict[str, Usage]:
        """Return the current usage of these users."""
        held, queued = self._usage.held(), self._usage.queued()
        spent = self._spent_last_day(held)
        return {
            user_id: Usage(
                gpus=held.get(user_id, 0),
                queued_tasks=queued.get(user_id, 0),
                gpu_hours_last_day=round(spent.get(user_id, 0.0) / 3600, 3),
                storage_gb=None if (size := self.meter.bytes_of(user_id)) is None else round(size / GB, 3),
            )
            for user_id in user_ids
        }

    def forget_files(self, task_id: str) -> None:
        """Remove the deleted files of a training from the totals."""
        self.meter.forget(task_id)

    # -- limits ----------------------------------------------------------------------------------------------------

    def gpu_bound(self, owner: Owner) -> Bound | None:
        """Return the limit of GPUs that an owner may have at a time, or None."""
        return self._bound(owner, None if owner is None else self._quota_of(owner).gpus)

    def queue_bound(self, owner: Owner) -> Bound | None:
        """Return the limit of queued tasks of an owner, or None."""
        return self._bound(owner, None if owner is None else self._quota_of(owner).queued_tasks)

    def _bound(self, owner: Owner, most: int | None) -> Bound | None:
        return None if owner is None or most is None else Bound(owner, most)

    def problems(self, owner: Owner, request: TrainingRequest) -> list[QuotaExceeded]:
        """Return the quotas that reject this request permanently."""
        if owner is None:
            return []
        quota = self._quota_of(owner)
        account = Account(quota, storage_bytes=self.meter.bytes_of(owner))
        found = []
        if quota.gpus is not None and request.gpu_count > quota.gpus:
            found.append(quota_reasons.needs_more(owner, quota.gpus, request.gpu_count))
        if account.has_filled_its_storage:
            found.append(quota_reasons.has_filled_storage(owner, account))
        return [quota_error(reason) for reason in found]

    def require_storage(self, owner: Owner, more_bytes: int) -> None:
        """Raise QuotaExceeded if this many more bytes of datasets exceed the owner's storage quota."""
        if owner is None or not more_bytes:
            return
        quota = self._quota_of(owner)
        if quota.storage_gb is None:
            return
        self.meter.read_datasets()
        account = Account(quota, storage_bytes=self.meter.bytes_of(owner))
        if (account.storage_bytes or 0) + more_bytes > quota.storage_gb * GB:
            raise quota_error(quota_reasons.would_fill_storage(owner, account, more_bytes))

    def storage_left(self, owner: Owner) -> int | None:
        """Return the bytes that an owner may still store. None without a limit, or while the usage is unknown."""
        quota = Quota() if owner is None else self._quota_of(owner)
        used = None if owner is None else self.meter.bytes_of(owner)
        return None if quota.storage_gb is None or used is None else int(quota.storage_gb * GB) - used

    def queue_problems(self, owner: Owner, more: int = 1) -> list[QuotaExceeded]:
        """Return the quota that rejects this many more queued tasks, if any.

        The final check is made when they are queued.
        """
        bound = self.queue_bound(owner)
        used = 0 if bound is None else self._usage.queued_by(bound.owner)
        return [] if bound is None or used + more <= bound.most else [queue_is_full(bound, used, more)]


def quota_error(reason: Reason) -> QuotaExceeded:
    """Return the error for a task that a quota rejects."""
    data = {"quota": quota_reasons.BOUNDS[reason.said.code], **reason.said.params}
    return QuotaExceeded(Reason(f"{reason.text[:1].upper()}{reason.text[1:]}.", reason.said), data=data)


def queue_is_full(bound: Bound, used: int, more: int) -> QuotaExceeded:
    """Return the error for an owner with this many queued tasks, who may not queue this many more."""
    if used < bound.most:
        return quota_error(quota_reasons.would_fill_queue(bound.owner, bound.most, used, more))
    return quota_error(quota_reasons.has_filled_queue(bound.owner, bound.most))


def when_below(holds: Iterable[GPUHold], gpu_seconds: float, now: datetime) -> datetime | None:
    """Return when the use of the last day falls to this figure if running attempts continue. None: never."""
    began = at = now.timestamp()
    used, pace, turns = _at(holds, began)
    if gpu_seconds <= 0:
        return None
    for turn, change in sorted(turns):
        then = used + pace * (turn - at)
        if then <= gpu_seconds and pace < 0:
            reached = turn - (gpu_seconds - then) / -pace
            return now + timedelta(seconds=max(0.0, reached - began))
        used, at, pace = then, turn, pace + change
    return None


def _at(holds: Iterable[GPUHold], at: float) -> tuple[float, int, list[tuple[float, int]]]:
    """Return the GPU seconds of the last day, their growth per second, and the times and amounts of its changes."""
    since, used, pace = at - DAY_SECONDS, 0.0, 0
    turns: list[tuple[float, int]] = []
    for hold in holds:
        ended = at if hold.ended_at is None else min(hold.ended_at, at)
        if ended <= since or hold.began_at > ended:
            continue
        used += hold.gpus * (ended - max(hold.began_at, since))
        # Use grows at the end of the window while GPUs are held, and shrinks at its start a day later.
        if hold.ended_at is None:
            pace += hold.gpus
        else:
            turns.append((ended + DAY_SECONDS, hold.gpus))
        if hold.began_at <= since:
            pace -= hold.gpus
        else:
            turns.append((hold.began_at + DAY_SECONDS, -hold.gpus))
    return used, pace, turns
