"""What a quota keeps from a task, in words. Pure functions."""

from collections.abc import Mapping
from typing import Any

from api.domain.reason import Reason
from api.domain.training import TaskSummary
from api.domain.usage import GB, Account

#: The bound of a quota that each reason is about, by the reason's code.
BOUNDS = {
    "quota_gpus": "gpus",
    "quota_gpus_kept": "gpus",
    "quota_gpus_never": "gpus",
    "quota_hours": "gpu_hours_per_day",
    "quota_hours_until": "gpu_hours_per_day",
    "quota_storage": "storage_gb",
    "quota_storage_more": "storage_gb",
    "quota_queued_tasks": "queued_tasks",
}


def needs_more(owner: str, limit: int, count: int) -> Reason:
    """The reason that a task alone needs more GPUs than its owner may ever have."""
    return Reason.of(
        "asks for more GPUs ({requested}) than {user}'s quota of {limit} at a time: ask for fewer, or have it raised",
        "quota_gpus_never",
        user=owner,
        limit=limit,
        requested=count,
    )


def waits_for_own(owner: str, account: Account, task: TaskSummary, limit: int) -> Reason:
    """The reason that the owner's other tasks have the GPUs that the quota permits."""
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


def kept_for_own(owner: str, limit: int, before: str, names: Mapping[str, str]) -> Reason:
    """The reason that the rest of the quota is kept for an earlier task of the same owner."""
    return Reason.of(
        "waits behind {name}, for which the rest of {user}'s {limit} GPUs at a time is kept",
        "quota_gpus_kept",
        name=names.get(before) or before,
        task_id=before,
        user=owner,
        limit=limit,
    )


def has_used_hours(owner: str, account: Account) -> Reason:
    """The reason that the GPU hours of the last day are used up."""
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
    """The reason that the files of the owner's tasks and datasets take what they may."""
    return Reason.of(
        "{user}'s trainings, datasets and downloads take {used} of {limit} GB of disk: delete finished trainings "
        "together with their files, or datasets; an administrator can remove downloaded models",
        "quota_storage",
        user=owner,
        used=f"{(account.storage_bytes or 0) / GB:.1f}",
        limit=f"{account.quota.storage_gb or 0:g}",
    )


def would_fill_storage(owner: str, account: Account, more_bytes: int) -> Reason:
    """The reason that so many bytes more are not taken."""
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
    """The reason that as many tasks of the owner wait as may."""
    return Reason.of(
        "{user} may have {limit} tasks in the queue, and has: wait until one has begun, or stop one",
        "quota_queued_tasks",
        user=owner,
        limit=limit,
    )
