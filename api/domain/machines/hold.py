"""Holds on the queue or on a GPU. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class HoldKind(StrEnum):
    """What a hold applies to."""

    QUEUE = "queue"  #: no queued task starts; running tasks continue
    GPU = "gpu"  #: no task gets the GPU; tasks that run on it continue
    PAUSE = "pause"  #: tasks on the GPU stop with a checkpoint, and none gets it until the pause is over
    CLAIM = "claim"  #: another program uses the GPU; NEIGHBOUR_RULE decides what this means for trainings


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold on the queue or a GPU, in force until it is ended. A GPU has one pause, and one claim of each name."""

    hold_id: str
    kind: HoldKind  #: the queue or a GPU
    gpu_uuid: str | None  #: null for a hold on the queue
    reason: str  #: why, as its author wrote; of a claim, its name
    made_by: str  #: a user, or `rule` and a rule id
    alert_id: str | None  #: the alert whose rule made the hold; it ends with the alert
    created_at: datetime
    expires_at: datetime | None = None  #: when a pause or claim expires; null for other holds
    memory_mb: int | None = None  #: memory that a claim announces; null if unknown, and for other holds


@dataclass(frozen=True, slots=True)
class GPUClaim:
    """The announcement of another program that it uses a GPU."""

    name: str  #: the program, as it calls itself
    memory_mb: int | None  #: memory that it needs; null if unknown
    expires_at: datetime  #: when the claim expires, unless it is renewed


@dataclass(frozen=True, slots=True)
class GPUClaims:
    """The claims on a GPU."""

    gpu_id: int | None  #: its index; null if the driver does not list it now
    uuid: str
    claims: tuple[GPUClaim, ...]  #: the claims in force, oldest first


@dataclass(frozen=True, slots=True)
class GPUPause:
    """Whether a GPU is paused: no training gets it, and those on it stop with a checkpoint."""

    gpu_id: int | None  #: its index; null if the driver does not list it now
    uuid: str
    paused_until: datetime | None  #: when trainings may use it again; null: it is not paused
    #: Seconds that its training takes to stop with a checkpoint, as earlier stops did; null if unknown, or none runs.
    stop_seconds: float | None = None
