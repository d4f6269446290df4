"""What is held back: the queue, of which then nothing begins, or a GPU, which then nobody gets. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class HoldKind(StrEnum):
    """What is held back."""

    QUEUE = "queue"  #: nothing that waits begins; what runs goes on
    GPU = "gpu"  #: nobody gets it; what runs on it goes on


@dataclass(frozen=True, slots=True)
class Hold:
    """Something that is held back, until the hold is ended. One thing may have several."""

    hold_id: str
    kind: HoldKind
    gpu_uuid: str | None  #: None: the queue
    reason: str
    made_by: str  #: a user, or `rule` and the id of a rule
    alert_id: str | None  #: the alert by whose rule it was made: it ends with it
    created_at: datetime
