"""Reasons by which quotas keep tasks from starting. Pure functions."""

from collections.abc import Mapping
from typing import Any

from api.domain.reason import Reason
from api.domain.tasks.training import TaskSummary
from api.domain.tasks.usage import GB, Account

#: The quota limit that each reason concerns, by the reason's code.
BOUNDS = {
    "quota_gpus": "gpus",
    "quota_gpus_kept": "gpus",
    "quota_gpus_never": "gpus",
    "quota_hours": "gpu_hours_per_day",
    "quota_hours_until": "gpu_hours_per_day",
    "quota_storage": "storage_gb",
    "quota_storage_more": "storage_gb",
    "quota_queued_tasks": "queued_tasks",
    "quota_queued_together": "queued_tasks",
}


def needs_more(owner: str, limit: int, count: int) -> Reason:
    """Return the reason that the task needs more GPUs than its owner may ever have."""
    return Reason.of(
        "needs {requested} GPUs, but {user}'s quota is {limit} at a time: request fewer, or ask for a higher quota",
        "quota_gpus_never",
        user=owner,
        limit=limit,
        requested=count,
    )


def waits_for_own(owner: str, account: Account, task: TaskSummary, limit: int) -> Reason:
    """Return the reason that the owner's other tasks use up the quota."""
    missing = account.gpus + task.gpu_count - limit
    return Reason.of(
        "waits for {missing} of {user}'s {used} GPUs: the quota is {limit} at a time",
        "quota_gpus",
        missing=missing,
        user=owner,
        used=account.gpus,
        limit=limit,
        requested=task.gpu_count,
    )


def reserved_for_own(owner: str, limit: int, before: str, names: Mapping[str, str]) -> Reason:
    """Return the reason that the rest of the quota is reserved for an earlier task of the owner."""
    return Reason.of(
        "waits behind {name}, for which the rest of {user}'s {limit} GPUs at a time is reserved",
        "quota_gpus_kept",
        name=names.get(before) or before,
        task_id=before,
        user=owner,
        limit=limit,
    )


def has_used_hours(owner: str, account: Account) -> Reason:
    """Return the reason that the GPU hours of the last day are used up."""
    values: dict[str, Any] = {
        "user": owner,
        "used": f"{account.gpu_seconds / 3600:.1f}",
        "limit": f"{account.quota.gpu_hours_per_day or 0:g}",
    }
    at = account.hours_return_at
    if at is None:
        return Reason.of("{user} has used {used} of {limit} GPU hours of the last day", "quota_hours", **values)
    return Reason.of(
        "{user} has used {used} of {limit} GPU hours of the last day; the next are free about {at} UTC",
        "quota_hours_until",
        **values,
        at=f"{at:%H:%M}",
        free_at=at.isoformat(),
    )


def has_filled_storage(owner: str, account: Account) -> Reason:
    """Return the reason that the owner's files fill the storage quota."""
    return Reason.of(
        "{user}'s trainings, datasets and downloads take {used} of {limit} GB of disk: delete finished trainings "
        "together with their files, or datasets; an administrator can remove downloaded models",
        "quota_storage",
        user=owner,
        used=f"{(account.storage_bytes or 0) / GB:.1f}",
        limit=f"{account.quota.storage_gb or 0:g}",
    )


def would_fill_storage(owner: str, account: Account, more_bytes: int) -> Reason:
    """Return the reason that this many more bytes exceed the storage quota."""
    return Reason.of(
        "{user}'s trainings, datasets and downloads take {used} of {limit} GB of disk, and this takes {more} GB more: "
        "delete finished trainings together with their files, or datasets; an administrator can remove downloaded "
        "models",
        "quota_storage_more",
        user=owner,
        used=f"{(account.storage_bytes or 0) / GB:.1f}",
        limit=f"{account.quota.storage_gb or 0:g}",
        more=f"{more_bytes / GB:.1f}",
    )


def has_filled_queue(owner: str, limit: int) -> Reason:
    """Return the reason that the owner has as many queued tasks as allowed."""
    return Reason.of(
        "{user} already has {limit} tasks in the queue, the maximum: wait until one starts, or stop one",
        "quota_queued_tasks",
        user=owner,
        limit=limit,
    )


def would_fill_queue(owner: str, limit: int, used: int, more: int) -> Reason:
    """Return the reason that this many tasks at once are more than the owner may still queue."""
    return Reason.of(
        "these are {more} tasks, and {user} may queue {left} more, as the maximum is {limit}: queue fewer at once",
        "quota_queued_together",
        more=more,
        user=owner,
        left=limit - used,
        limit=limit,
    )
