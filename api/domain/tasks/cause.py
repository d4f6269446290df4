"""Causes of failed attempts, with messages and codes, and which causes are worth a retry. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from api.domain.reason import Reason, ReasonCode, ReasonOrText, message_of


class CauseCode(StrEnum):
    """Why an attempt failed."""

    CUDA_OUT_OF_MEMORY = "cuda_out_of_memory"
    HOST_OUT_OF_MEMORY = "host_out_of_memory"
    PORT_IN_USE = "port_in_use"
    NCCL_TIMEOUT = "nccl_timeout"
    NAN_LOSS = "nan_loss"
    MISSING_FILE = "missing_file"
    DISK_FULL = "disk_full"
    GATED = "gated"  #: the hub requires accepting the licence first
    UNAUTHORIZED = "unauthorized"  #: the server requires a token with read access
    NOT_FOUND = "not_found"  #: the repository, revision or file does not exist
    WRONG_HASH = "wrong_hash"  #: the received data has an unexpected hash or length
    #: weights that are incomplete or can hold code, or a name that leads outside the target directory
    REFUSED_FILE = "refused_file"
    REFUSED_ADDRESS = "refused_address"  #: the address is private or invalid
    NETWORK = "network"  #: the server was unreachable or gave an unexpected answer
    HUB_REFUSED = "hub_refused"  #: the hub rejects the push; the detail says why
    GPU_LOST = "gpu_lost"
    HANG = "hang"
    KILLED = "killed"  #: ended by an external signal
    QUIT_UNASKED = "quit_unasked"  #: it found a signal file that this service did not write
    DID_NOT_TRAIN = "did_not_train"  #: exit code 0 without the trainer's completion message
    CACHE_INCOMPLETE = "cache_incomplete"  #: exit code 0, but the cache is missing or invalid
    TRAINER_ERROR = "trainer_error"  #: an error of the trainer itself; the detail has its last lines
    COULD_NOT_START = "could_not_start"
    SUPERVISOR_LOST = "supervisor_lost"
    MACHINE_RESTARTED = "machine_restarted"
    NODE_LOST = "node_lost"  #: the cluster node failed or was removed
    JOB_CANCELLED = "job_cancelled"  #: the job was cancelled in the cluster
    JOB_LOST = "job_lost"  #: the cluster's controller lost track of the job and ended it
    STORAGE_UNSEEN = "storage_unseen"  #: the cluster node does not see STORAGE_ROOT, or cannot write to it
    PREEMPTED = "preempted"  #: the cluster gave its GPUs to a job of higher priority
    TIME_LIMIT = "time_limit"  #: the cluster's time limit was reached
    GPU_PAUSED = "gpu_paused"  #: a user has paused a GPU that it ran on
    OUTSIDE_SCHEDULE = "outside_schedule"  #: its GPU is outside the hours in which trainings may run
    NEIGHBOUR = "neighbour"  #: another program uses its GPU, and NEIGHBOUR_RULE gives it precedence
    URGENT_TASK = "urgent_task"  #: an urgent task needed its GPUs


#: Causes outside of the training, retried without a request up to this many times in a row.
RETRIED_BY_ITSELF: Mapping[CauseCode, int] = {
    CauseCode.PORT_IN_USE: 5,
    CauseCode.SUPERVISOR_LOST: 3,
    CauseCode.MACHINE_RESTARTED: 3,
    CauseCode.NODE_LOST: 10,
    CauseCode.JOB_LOST: 10,
    CauseCode.STORAGE_UNSEEN: 100,
    CauseCode.PREEMPTED: 1000,
    CauseCode.TIME_LIMIT: 3,
}

#: Causes of trainings that made room. They are no failures: the training waits, and then resumes.
MADE_ROOM = frozenset({CauseCode.GPU_PAUSED, CauseCode.OUTSIDE_SCHEDULE, CauseCode.NEIGHBOUR, CauseCode.URGENT_TASK})

#: Causes that `max_retries` covers by default, because a retry may succeed.
RETRIED_BY_DEFAULT = frozenset(
    {
        CauseCode.HOST_OUT_OF_MEMORY,
        CauseCode.NCCL_TIMEOUT,
        CauseCode.GPU_LOST,
        CauseCode.HANG,
        CauseCode.KILLED,
        CauseCode.TRAINER_ERROR,
        CauseCode.COULD_NOT_START,
        *RETRIED_BY_ITSELF,
    }
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an attempt failed and what to do about it."""

    code: CauseCode  #: stable cause; see the list of causes
    detail: str  #: what happened, with its values
    remedy: str
    last_lines: tuple[str, ...] = ()  #: last lines of the log; empty if they are unknown
    said: str | None = None  #: stable code of this detail and remedy, finer than `code`
    detail_code: ReasonCode | None = None  #: code of the detail; None if it is the trainer's own text
    remedy_code: ReasonCode | None = None  #: code of the remedy; null if it has none

    @classmethod
    def of(
        cls,
        code: CauseCode,
        said: str,
        detail: str,
        remedy: str,
        last_lines: Sequence[str] = (),
        /,
        **params: Any,
    ) -> "Cause":
        """Return a cause with the service's own messages. `{name}` in detail and remedy becomes that parameter."""
        message, advice = Reason.of(detail, f"{said}_detail", **params), Reason.of(remedy, f"{said}_remedy", **params)
        return cls(code, message.text, advice.text, tuple(last_lines), said, message.said, advice.said)

    @property
    def message(self) -> ReasonOrText:
        """The detail together with its code."""
        return message_of(self.detail, self.detail_code)
