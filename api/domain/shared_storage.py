"""Whether the machines of a cluster see one STORAGE_ROOT: what each tells of its probes, and what the API shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from api.domain.reason import ReasonCode, ToldWords, Words

#: What the file of a probe can be called.
PROBE_FILE = r"[A-Za-z0-9][A-Za-z0-9.\-]{0,95}"


class StorageState(StrEnum):
    """What can be said of a machine's way to the storage."""

    SHARED = "shared"  #: what is written here is read there, and the other way round
    CHECKING = "checking"  #: not known yet
    NOT_SHARED = "not_shared"  #: it sees another directory, or none, or cannot write to it
    UNKNOWN = "unknown"  #: its storage does not answer
    UNCHECKED = "unchecked"  #: it does not look: its STORAGE_ROOT is another one, or its version is older


@dataclass(frozen=True, slots=True)
class StorageCall:
    """What a head tells a node to look for: the number in this file of its own, or a later one."""

    directory: str  #: the STORAGE_ROOT
    file: str
    number: int


@dataclass(frozen=True, slots=True)
class ToldStorage:
    """What a node tells of its latest probe. `number` is what it has written to its own `file`."""

    file: str
    number: int | None = None
    seen: Mapping[str, int] = field(default_factory=dict)  #: what it has read in others' files
    problem: ToldWords | None = None
    age: float | None = None  #: seconds since a probe has ended; None: none has yet
    offset: float | None = None  #: seconds that the storage's clock is ahead of the node's


@dataclass(frozen=True, slots=True)
class Probe:
    """What one probe has found."""

    at: float  #: when it ended, monotonic
    number: int | None = None  #: what was written to the own file; None: nothing could be
    seen: Mapping[str, int] = field(default_factory=dict)  #: what was read last in each file that is looked for
    problem: Words | None = None  #: with the own file
    problems: Mapping[str, Words] = field(default_factory=dict)  #: with the files of others, by file
    offset: float | None = None


@dataclass(frozen=True, slots=True)
class NodeStorage:
    """A node's way to the shared storage, in `/nodes`."""

    state: StorageState
    reason: str | None = None
    reason_code: ReasonCode | None = None
    clock_offset_seconds: float | None = None  #: how far the storage's clock is ahead of the node's
