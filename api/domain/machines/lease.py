"""An exclusive, time-limited right to a resource of the machine."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.domain.reason import ReasonCode

#: Seconds between the last renewal of a lease and its expiry.
LEASE_SECONDS = 60.0


class LeaseKind(StrEnum):
    """The kind of resource that a lease covers."""

    GPU = "gpu"  #: resource is the GPU's UUID
    PORT = "port"  #: a master port of this machine
    CACHE = "cache"  #: a cache directory that a trainer writes to


class LeaseState(StrEnum):
    """Whether the holder of a lease is still at work."""

    HELD = "held"
    DRAINING = "draining"  #: the holder has ended, but its GPU memory is not free yet


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of one resource. Only the holder of the token may renew or change it."""

    resource: str
    kind: LeaseKind
    task_id: str
    attempt_uid: str | None
    token: str
    state: LeaseState
    claimed_at: datetime
    expires_at: datetime | None  #: None: valid until the task is released
    draining_since: datetime | None = None
    reason: str | None = None
    reason_code: ReasonCode | None = None
