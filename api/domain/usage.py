"""What owners of trainings use, and what of it their quotas leave."""

from dataclasses import dataclass, field
from datetime import datetime

from api.domain.access import Quota

#: Whom tasks belong to; None: nobody, which counts as one owner.
Owner = str | None

GB = 1024**3

#: Seconds for which the use of a GPU counts.
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one user uses now, in the units of a quota."""

    gpus: int  #: held by attempts that have not ended
    queued_tasks: int
    gpu_hours_last_day: float
    storage_gb: float | None  #: of the files of their tasks; None: not measured yet


@dataclass(frozen=True, slots=True)
class GPUHold:
    """GPUs that an attempt had from one time to another, in Unix seconds; `ended_at` None: it has them still."""

    gpus: int
    began_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class Account:
    """What an owner may use, and uses, as a pass over the queue sees it."""

    quota: Quota = field(default_factory=Quota)
    gpus: int = 0  #: held now
    gpu_seconds: float = 0.0  #: GPU seconds of the last day
    hours_return_at: datetime | None = None  #: when a used up quota of GPU hours has room again; None: not known
    storage_bytes: int | None = None  #: None: not measured yet

    @property
    def has_used_its_hours(self) -> bool:
        """Whether the GPU hours of the last day are used up."""
        most = self.quota.gpu_hours_per_day
        return most is not None and self.gpu_seconds >= most * 3600

    @property
    def has_filled_its_storage(self) -> bool:
        """Whether its files take what they may; not while nobody knows how much they take."""
        most = self.quota.storage_gb
        return most is not None and self.storage_bytes is not None and self.storage_bytes >= most * GB
