"""What owners may still take in one pass over the queue. Pure: a pass has its own."""

from collections.abc import Mapping
from dataclasses import replace

from api.domain.reason import Reason
from api.domain.training import TaskSummary
from api.domain.usage import Account, Owner
from api.training.quota_words import (
    has_filled_storage,
    has_used_hours,
    kept_for_own,
    needs_more,
    waits_for_own,
)


class QuotaPass:
    """The accounts of the owners, and what this pass has given them. Who has no account has no bound."""

    def __init__(self, accounts: Mapping[Owner, Account], names: Mapping[str, str]) -> None:
        self._accounts = dict(accounts)
        self._names = names
        self._kept: dict[str, Reason] = {}  #: by owner what is said to tasks behind one that the rest is kept for

    def why_barred(self, task: TaskSummary) -> Reason | None:
        """Why the owner can begin nothing like this, however many GPUs are free."""
        account = self._accounts.get(task.owner)
        if account is None or task.owner is None:
            return None
        if account.quota.gpus is not None and task.gpu_count > account.quota.gpus:
            return needs_more(task.owner, account.quota.gpus, task.gpu_count)
        if task.needs_gpus and account.has_used_its_hours:
            return has_used_hours(task.owner, account)
        return has_filled_storage(task.owner, account) if account.has_filled_its_storage else None

    def why_full(self, task: TaskSummary) -> Reason | None:
        """Why the owner cannot have these GPUs more before others of theirs are given back."""
        account = self._accounts.get(task.owner)
        if account is None or task.owner is None or account.quota.gpus is None:
            return None
        if task.owner in self._kept:
            return self._kept[task.owner]
        if account.gpus + task.gpu_count > account.quota.gpus:
            return waits_for_own(task.owner, account, task, account.quota.gpus)
        return None

    def keep(self, task: TaskSummary) -> None:
        """Keeps the rest of the owner's GPUs for a task: those behind would else pass it for ever."""
        most = self._accounts[task.owner].quota.gpus
        if task.owner is not None and most is not None and task.owner not in self._kept:
            self._kept[task.owner] = kept_for_own(task.owner, most, task.task_id, self._names)

    def take(self, task: TaskSummary) -> None:
        """Counts the GPUs that a task gets."""
        account = self._accounts.get(task.owner)
        if account is not None:
            self._accounts[task.owner] = replace(account, gpus=account.gpus + task.gpu_count)
