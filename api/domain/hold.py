"""Holds on the queue or on a GPU. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class HoldKind(StrEnum):
    """What a hold applies to."""

    QUEUE = "queue"  #: no queued task starts; running tasks continue
    GPU = "gpu"  #: no task gets the GPU; tasks that run on it continue
    PAUSE = "pause"  #: tasks on the GPU stop with a checkpoint, and none gets it until the pause is over


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold on the queue or a GPU, in force until it is ended. One target may have several holds, but one pause."""

    hold_id: str
    kind: HoldKind  #: the queue or a GPU
    gpu_uuid: str | None  #: null for a hold on the queue
    reason: str  #: why, as its author wrote
    made_by: str  #: a user, or `rule` and a rule id
    alert_id: str | None  #: the alert whose rule made the hold; it ends with the alert
    created_at: datetime
    expires_at: datetime | None = None  #: when a pause ends by itself; null for other holds


@dataclass(frozen=True, slots=True)
class GPUPause:
    """Whether a GPU is paused: no training gets it, and those on it stop with a checkpoint."""

    gpu_id: int | None  #: its index; null if the driver does not list it now
    uuid: str
    paused_until: datetime | None  #: when trainings get it again by themselves; null: it is not paused
    #: Seconds that its training takes to stop with a checkpoint, as earlier stops did; null if unknown, or none runs.
    stop_seconds: float | None = None
