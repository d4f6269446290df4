"""What each owner may use and uses: asked by the scheduler with every pass, and by whoever starts a task."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from api.domain.access import Quota
from api.domain.reason import Reason
from api.domain.training import TaskSummary, TrainingRequest
from api.domain.usage import GB, Account, GPUHold, Owner, Usage
from api.errors import QuotaExceeded
from api.training import quota_words
from api.training.fair_share import in_fair_order
from api.training.gpu_hours import when_below
from api.training.storage_meter import StorageMeter
from api.training.usage_store import Bound, UsageStore
from api.util.clock import Clock

#: Seconds for which the GPU hours of the last day are kept while nobody gets or gives back a GPU.
FRESH_SECONDS = 10.0


class Quotas:
    """Quotas and usage by owner, of a service that asks for keys. Any thread may ask."""

    def __init__(self, usage: UsageStore, quota_of: Callable[[str], Quota], meter: StorageMeter, clock: Clock) -> None:
        """`quota_of` says what a user may use at most."""
        self._usage = usage
        self._quota_of = quota_of
        self._meter = meter
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: Mapping[Owner, float] = {}
        self._held: Mapping[str, int] = {}
        self._holds: dict[str, Sequence[GPUHold]] = {}  #: of those whose hours are used up
        self._counted_at = float("-inf")

    def start(self) -> None:
        """Starts to measure storage."""
        self._meter.start()

    def stop(self) -> None:
        """Stops measuring."""
        self._meter.stop()

    def accounts(self, owners: Iterable[Owner]) -> Mapping[Owner, Account]:
        """The accounts of these owners."""
        wanted = set(owners)
        held = self._usage.held()
        spent = self._spent_last_day(held)
        return {owner: self._account(owner, held.get(owner or "", 0), spent.get(owner, 0.0)) for owner in wanted}

    def _account(self, owner: Owner, gpus: int, gpu_seconds: float) -> Account:
        if owner is None:
            return Account(gpu_seconds=gpu_seconds)
        account = Account(self._quota_of(owner), gpus, gpu_seconds, None, self._meter.bytes_of(owner))
        if not account.has_used_its_hours:
            return account
        most = (account.quota.gpu_hours_per_day or 0.0) * 3600
        returns_at = when_below(self._holds_of(owner), most, self._clock.now())
        return Account(account.quota, gpus, gpu_seconds, returns_at, account.storage_bytes)

    def _spent_last_day(self, held: Mapping[str, int]) -> Mapping[Owner, float]:
        """The GPU seconds by owner. `held` are the GPUs that each has now: with them it changes whose turn it is."""
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
        """A queue that is in the order of priority and age, in the order in which it is served."""
        return in_fair_order(queue, self.accounts(task.owner for task in queue))

    def usage_of(self, user_ids: Iterable[str]) -> dict[str, Usage]:
        """What these users use now."""
        held, queued = self._usage.held(), self._usage.queued()
        spent = self._spent_last_day(held)
        return {
            user_id: Usage(
                gpus=held.get(user_id, 0),
                queued_tasks=queued.get(user_id, 0),
                gpu_hours_last_day=round(spent.get(user_id, 0.0) / 3600, 3),
                storage_gb=_in_gb(self._meter.bytes_of(user_id)),
            )
            for user_id in user_ids
        }

    def forget_files(self, task_id: str) -> None:
        """Counts the files of a training no more: they were deleted."""
        self._meter.forget(task_id)

    # -- bounds ----------------------------------------------------------------------------------------------------

    def gpu_bound(self, owner: Owner) -> Bound | None:
        """The most GPUs that an owner may have at a time; None: as many as there are."""
        return self._bound(owner, None if owner is None else self._quota_of(owner).gpus)

    def queue_bound(self, owner: Owner) -> Bound | None:
        """The most tasks of an owner that may wait; None: any number."""
        return self._bound(owner, None if owner is None else self._quota_of(owner).queued_tasks)

    def _bound(self, owner: Owner, most: int | None) -> Bound | None:
        return None if owner is None or most is None else Bound(owner, most)

    def problems(self, owner: Owner, request: TrainingRequest) -> list[QuotaExceeded]:
        """What keeps the owner from starting this where waiting cannot help."""
        if owner is None:
            return []
        quota = self._quota_of(owner)
        account = Account(quota, storage_bytes=self._meter.bytes_of(owner))
        found = []
        if quota.gpus is not None and request.gpu_count > quota.gpus:
            found.append(quota_words.needs_more(owner, quota.gpus, request.gpu_count))
        if account.has_filled_its_storage:
            found.append(quota_words.has_filled_storage(owner, account))
        return [refusal(reason) for reason in found]

    def require_storage(self, owner: Owner, more_bytes: int) -> None:
        """Lets so many bytes more of datasets pass, if the owner then takes no more disk than may be. Raises
        QuotaExceeded.
        """
        if owner is None or not more_bytes:
            return
        quota = self._quota_of(owner)
        if quota.storage_gb is None:
            return
        self._meter.ask_datasets()
        account = Account(quota, storage_bytes=self._meter.bytes_of(owner))
        if (account.storage_bytes or 0) + more_bytes > quota.storage_gb * GB:
            raise refusal(quota_words.would_fill_storage(owner, account, more_bytes))

    def storage_left(self, owner: Owner) -> int | None:
        """Bytes that an owner may still store; None without a bound, or while what is stored is not known."""
        quota = Quota() if owner is None else self._quota_of(owner)
        used = None if owner is None else self._meter.bytes_of(owner)
        return None if quota.storage_gb is None or used is None else int(quota.storage_gb * GB) - used

    def queue_problems(self, owner: Owner) -> list[QuotaExceeded]:
        """What keeps the owner from putting one more task into the queue; the queue itself has the last word."""
        bound = self.queue_bound(owner)
        if bound is None or self._usage.queued_by(bound.owner) < bound.most:
            return []
        return [queue_is_full(bound)]


def _in_gb(size: int | None) -> float | None:
    return None if size is None else round(size / GB, 3)


def refusal(reason: Reason) -> QuotaExceeded:
    """The error that says why a quota refuses a task."""
    data = {"quota": quota_words.BOUNDS[reason.said.code], **reason.said.params}
    return QuotaExceeded(f"{reason.text[:1].upper()}{reason.text[1:]}.", data=data)


def queue_is_full(bound: Bound) -> QuotaExceeded:
    """The error that says that as many tasks of an owner wait as may."""
    return refusal(quota_words.has_filled_queue(bound.owner, bound.most))
