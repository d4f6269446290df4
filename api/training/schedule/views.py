"""The schedule as the API shows it."""

from dataclasses import dataclass
from datetime import datetime

from api.domain.tasks.schedule import Day


@dataclass(frozen=True, slots=True)
class ScheduleWindow:
    """Hours on some days of the week in which trainings may run."""

    days: tuple[Day, ...]  #: the days on which it begins
    begins: str  #: local time, such as 22:00
    ends: str  #: local time; on the next day if it is not after `begins`
    gpus: tuple[str, ...] | None  #: the GPUs to which it applies; null: all


@dataclass(frozen=True, slots=True)
class GPUOpening:
    """Whether trainings may run on one GPU by the schedule."""

    gpu_id: int  #: its index
    uuid: str
    is_open: bool  #: whether trainings may run on it now
    next_open: datetime | None  #: when the next window begins; null: never, or it is always open
    next_close: datetime | None  #: when the current window ends; null: never, or it is closed


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """When trainings may run. Without windows they may always run, also on a GPU to which no window applies."""

    time_zone: str  #: name in the IANA database
    windows: tuple[ScheduleWindow, ...]  #: hours of the week, in local time
    is_open: bool  #: whether trainings may run on any GPU now
    next_open: datetime | None  #: when the next window begins; null: never, or trainings may always run
    next_close: datetime | None  #: when no window is open any more; null: never, or none is open
    gpus: tuple[GPUOpening, ...]  #: each GPU
    unknown_gpus: tuple[str, ...]  #: names in windows that no GPU has now; empty if all are known
