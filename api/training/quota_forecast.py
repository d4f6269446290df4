"""When quotas permit waiting tasks to start, as far as known."""

from bisect import insort
from collections.abc import Mapping, Sequence
from datetime import datetime

from api.domain.training import TaskSummary
from api.domain.usage import Account, Owner

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
            self.note(task, remaining.get(task.task_id))

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

    def note(self, task: TaskSummary, until: float | None) -> None:
        """Count the GPUs of a task as held for this many seconds from now. None: unknown."""
        account = self._accounts.get(task.owner)
        if account is not None and account.quota.gpus is not None:
            insort(self._held.setdefault(task.owner, []), (_NEVER if until is None else until, task.gpu_count))
