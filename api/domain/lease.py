"""An exclusive hold on a resource of the machine."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.domain.reason import ReasonCode

#: Seconds after its last renewal at which a lease expires.
LEASE_SECONDS = 60.0


class LeaseKind(StrEnum):
    """What kind of resource a lease holds."""

    GPU = "gpu"  #: by UUID
    PORT = "port"  #: a master port of this machine
    CACHE = "cache"  #: a cache directory that a trainer writes


class LeaseState(StrEnum):
    """Whether the holder of a lease still works."""

    HELD = "held"
    DRAINING = "draining"  #: the holder has ended, but the GPU does not show it yet


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a resource. Only the holder of the token may renew or change it."""

    resource: str
    kind: LeaseKind
    task_id: str
    attempt_uid: str | None
    token: str
    state: LeaseState
    claimed_at: datetime
    expires_at: datetime | None  #: None: it holds until the task is released
    draining_since: datetime | None = None
    reason: str | None = None
    reason_code: ReasonCode | None = None
