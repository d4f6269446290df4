"""The resources that owners of tasks use, compared with their quotas."""

from dataclasses import dataclass, field
from datetime import datetime

from api.domain.access.principal import Quota

#: The user that owns a task. Tasks without an owner (None) count as one owner.
Owner = str | None

GB = 1024**3

#: Length of the window in which GPU use counts, in seconds.
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Usage:
    """The current usage of one user, in the units of a quota."""

    gpus: int  #: GPUs of attempts that have not ended
    queued_tasks: int  #: waiting tasks
    gpu_hours_last_day: float  #: GPU hours in the last 24 h
    storage_gb: float | None  #: size of the files of the user's tasks; None: not measured yet


@dataclass(frozen=True, slots=True)
class GPUHold:
    """The GPUs of one attempt and when it had them, in Unix seconds. `ended_at` is None if it still has them."""

    gpus: int
    began_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class Account:
    """The quota and usage of one owner, as the scheduler sees them."""

    quota: Quota = field(default_factory=Quota)
    gpus: int = 0  #: GPUs in use now
    gpu_seconds: float = 0.0  #: GPU seconds of the last day
    hours_return_at: datetime | None = None  #: when GPU hours become available again; None: unknown
    storage_bytes: int | None = None  #: None: not measured yet

    @property
    def has_used_its_hours(self) -> bool:
        """Whether the GPU hours of the last day are used up."""
        most = self.quota.gpu_hours_per_day
        return most is not None and self.gpu_seconds >= most * 3600

    @property
    def has_filled_its_storage(self) -> bool:
        """Whether the owner's files fill the storage quota. False while their size is unknown."""
        most = self.quota.storage_gb
        return most is not None and self.storage_bytes is not None and self.storage_bytes >= most * GB
