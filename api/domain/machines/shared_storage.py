"""Whether the machines of a cluster share one STORAGE_ROOT: reported probes and the view in the API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from api.domain.reason import ReasonCode, ReasonOrText, ReportedMessage

#: Pattern for the name of a probe file.
PROBE_FILE = r"[A-Za-z0-9][A-Za-z0-9.\-]{0,95}"


class StorageState(StrEnum):
    """Whether a machine shares the storage."""

    SHARED = "shared"  #: files written by one machine are visible to the other, in both directions
    CHECKING = "checking"  #: not known yet
    NOT_SHARED = "not_shared"  #: the machine sees another directory or none, or cannot write to it
    UNKNOWN = "unknown"  #: the machine's storage does not answer
    UNCHECKED = "unchecked"  #: the machine does not probe: its STORAGE_ROOT differs, or its version is older


@dataclass(frozen=True, slots=True)
class StorageProbeRequest:
    """A head's request to a node: look for this number, or a later one, in the head's probe file."""

    directory: str  #: the STORAGE_ROOT
    file: str  #: name of the probe file
    number: int  #: the number to look for


@dataclass(frozen=True, slots=True)
class StorageReport:
    """A node's report of its latest probe. `number` is the number that it wrote to its own `file`."""

    file: str
    number: int | None = None
    seen: Mapping[str, int] = field(default_factory=dict)  #: number read from each file of another machine
    problem: ReportedMessage | None = None
    age: float | None = None  #: seconds since a probe ended; None: none has ended yet
    offset: float | None = None  #: seconds by which the storage's clock is ahead of the node's


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of one probe."""

    at: float  #: end of the probe on the monotonic clock
    number: int | None = None  #: number written to the own file; None: writing failed
    seen: Mapping[str, int] = field(default_factory=dict)  #: last number read from each expected file
    problem: ReasonOrText | None = None  #: problem with the own file
    problems: Mapping[str, ReasonOrText] = field(
        default_factory=dict
    )  #: problems with files of other machines, by file
    offset: float | None = None


@dataclass(frozen=True, slots=True)
class NodeStorage:
    """A node's access to the shared storage, in `/nodes`."""

    state: StorageState
    reason: str | None = None
    reason_code: ReasonCode | None = None
    clock_offset_seconds: float | None = None  #: seconds by which the storage's clock is ahead of the node's
