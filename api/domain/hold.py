"""Holds on the queue or on a GPU. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class HoldKind(StrEnum):
    """What a hold applies to."""

    QUEUE = "queue"  #: no queued task starts; running tasks continue
    GPU = "gpu"  #: no task gets the GPU; tasks that run on it continue


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold on the queue or a GPU, in force until it is ended. One target may have several holds."""

    hold_id: str
    kind: HoldKind
    gpu_uuid: str | None  #: None for a hold on the queue
    reason: str
    made_by: str  #: a user, or `rule` and a rule id
    alert_id: str | None  #: the alert whose rule made the hold; it ends with the alert
    created_at: datetime
