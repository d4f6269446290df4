"""When quotas will permit waiting tasks to begin, as far as that is known."""

from bisect import insort
from collections.abc import Mapping, Sequence
from datetime import datetime

from api.domain.training import TaskSummary
from api.domain.usage import Account, Owner

_NEVER = float("inf")


class QuotaForecast:
    """What owners hold, and until when. Who has no account has no bound."""

    def __init__(
        self,
        accounts: Mapping[Owner, Account],
        active: Sequence[TaskSummary],
        remaining: Mapping[str, float],
        now: datetime,
    ) -> None:
        """`active` are the tasks that hold GPUs; `remaining` are the seconds that they still take, where known."""
        self._accounts = accounts
        self._now = now
        self._held: dict[Owner, list[tuple[float, int]]] = {}
        for task in active:
            self.note(task, remaining.get(task.task_id))

    def is_barred(self, task: TaskSummary) -> bool:
        """Whether the owner can begin nothing now, however many GPUs are free."""
        account = self._accounts.get(task.owner)
        return account is not None and (account.has_used_its_hours or account.has_filled_its_storage)

    def permits_in(self, task: TaskSummary) -> float | None:
        """Seconds until the owner's quota permits the task to begin; None: not known."""
        account = self._accounts.get(task.owner)
        if account is None:
            return 0.0
        if account.has_filled_its_storage or (account.has_used_its_hours and account.hours_return_at is None):
            return None
        hours = 0.0
        if account.has_used_its_hours and account.hours_return_at is not None:
            hours = max(0.0, (account.hours_return_at - self._now).total_seconds())
        most = account.quota.gpus
        gpus = 0.0 if most is None else self._has_room_in(task, most)
        return None if gpus == _NEVER else max(hours, gpus)

    def _has_room_in(self, task: TaskSummary, most: int) -> float:
        held = self._held.get(task.owner, [])
        left = sum(gpus for _, gpus in held)
        room_in = 0.0
        for until, gpus in held:
            if left + task.gpu_count <= most:
                break
            left, room_in = left - gpus, until
        return room_in if left + task.gpu_count <= most else _NEVER

    def note(self, task: TaskSummary, until: float | None) -> None:
        """Counts the GPUs of a task as held for so many seconds from now; None: nobody knows how long."""
        account = self._accounts.get(task.owner)
        if account is not None and account.quota.gpus is not None:
            insort(self._held.setdefault(task.owner, []), (_NEVER if until is None else until, task.gpu_count))
