"""What a check of a trainer's installation found. Memory in MB."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ProblemSeverity(StrEnum):
    """Whether a problem prevents trainings."""

    ERROR = "error"
    WARNING = "warning"


class SubmoduleState(StrEnum):
    """A submodule's commit compared with the one that the checkout requires."""

    PINNED = "pinned"
    OTHER_COMMIT = "other_commit"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Submodule:
    """A submodule of the trainer's checkout; commits are null where they cannot be determined."""

    path: str  #: path in the checkout
    state: SubmoduleState
    commit: str | None = None  #: commit that is checked out; null if unknown
    pinned: str | None = None  #: commit that the checkout requires; null if unknown


@dataclass(frozen=True, slots=True)
class InstallationProblem:
    """A problem of an installation, and the command that fixes it.

    `model_types` are those it concerns; null: all.
    """

    code: str
    severity: ProblemSeverity  #: whether it prevents trainings
    message: str
    command: str | None  #: command that fixes it; null if no command does
    model_types: tuple[str, ...] | None = None  #: those it concerns; null: all

    def concerns(self, model_type: str) -> bool:
        """Return whether trainings of this type have the problem."""
        return self.model_types is None or model_type in self.model_types


@dataclass(frozen=True, slots=True)
class CheckoutKey:
    """A configuration key that this checkout's code reads, and this version of the service does not know.

    `default` is null if the code has none, or computes it.
    """

    table: str  #: table of the configuration
    key: str  #: name of the key
    default: bool | int | float | str | None = None  #: null if the code has none, or computes it


@dataclass(frozen=True, slots=True)
class TrainerInstallation:
    """The trainer's checkout and Python as of the last check; null: unknown.

    `ready` is false if trainings of all types have an error, and null before the first check.
    """

    root: str | None  #: directory of the checkout; null if not set
    interpreter: str | None  #: the Python that runs the trainer; null if not found
    commit: str | None = None  #: commit of the checkout
    python: str | None = None  #: version
    torch: str | None = None  #: version
    cuda: str | None = None  #: version of CUDA that torch was built for
    gpu_architectures: tuple[str, ...] | None = None  #: those that torch was built for
    deepspeed: str | None = None  #: version
    flash_attention: str | None = None  #: version
    nccl: bool | None = None  #: whether torch has NCCL
    nvcc: str | None = None  #: path of CUDA's compiler; null if not found
    shm_free_mb: int | None = None  #: free space of /dev/shm in MB
    submodules: tuple[Submodule, ...] = ()  #: parts of the checkout from other repositories
    new_keys: tuple[CheckoutKey, ...] = ()  #: configuration keys that this version of the service does not know
    problems: tuple[InstallationProblem, ...] = ()  #: what is missing or does not fit
    ready: bool | None = None  #: false: no training can start; null before the first check
    is_checking: bool = False  #: whether a check runs now
    checked_at: datetime | None = None  #: end of the last check; null before the first
