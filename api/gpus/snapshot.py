"""An immutable reading of a machine's GPUs."""

from dataclasses import dataclass
from datetime import datetime

from api.domain.machines.reading import (
    DriverVersions,
    FaultKind,
    GPUCondition,
    GPUIdentity,
    GPUProcess,
    GPUVitals,
    SourceName,
)
from api.domain.reason import ReasonOrText


@dataclass(frozen=True, slots=True)
class GPUReading:
    """The state of one GPU. When the GPU is lost, the identity stays and the vitals are removed.

    `index` is None when the driver has given its former index to another GPU. `read_monotonic` is when the reading
    began, so that a call that was stuck for a minute returns a reading that is a minute old.
    """

    index: int | None
    identity: GPUIdentity | None
    vitals: GPUVitals | None = None
    condition: GPUCondition | None = None
    processes: tuple[GPUProcess, ...] | None = None
    processes_unlisted: str | None = None  #: why there is no list
    fault: FaultKind | None = None
    fault_reason: ReasonOrText | None = None
    read_at: datetime | None = None
    read_monotonic: float | None = None
    own_limit_watts: float | None = None  #: the power limit that this service has set last; None: none

    @property
    def uuid(self) -> str | None:
        """The UUID of the GPU; None for a slot that has never reported it."""
        return None if self.identity is None else self.identity.uuid


@dataclass(frozen=True, slots=True)
class GPUSnapshot:
    """All GPUs after one sweep.

    `stuck` counts the calls that have not returned. `problem` says why the whole source has no readings, and
    `problem_code` is NVML's code for it.
    """

    sequence: int
    gpus: tuple[GPUReading, ...]
    source: SourceName
    versions: DriverVersions
    taken_at: datetime
    taken_monotonic: float
    sweep_seconds: float
    stuck: int = 0
    problem: ReasonOrText | None = None
    problem_code: int | None = None
