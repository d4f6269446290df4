"""Why an attempt at a task failed, in words and as a code, and which causes another try can get past. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from api.domain.reason import Reason, ReasonCode, Words, words_of


class CauseCode(StrEnum):
    """Why an attempt failed."""

    CUDA_OUT_OF_MEMORY = "cuda_out_of_memory"
    HOST_OUT_OF_MEMORY = "host_out_of_memory"
    PORT_IN_USE = "port_in_use"
    NCCL_TIMEOUT = "nccl_timeout"
    NAN_LOSS = "nan_loss"
    MISSING_FILE = "missing_file"
    DISK_FULL = "disk_full"
    GATED = "gated"  #: the hub wants its licence accepted first
    UNAUTHORIZED = "unauthorized"  #: the server wants a token that may read it
    NOT_FOUND = "not_found"  #: there is no such repository, revision or file
    WRONG_HASH = "wrong_hash"  #: what came is not what it must be: its hash or its length is another
    REFUSED_FILE = "refused_file"  #: it is no whole weights, can hold code, or its name leads elsewhere
    REFUSED_ADDRESS = "refused_address"  #: its address is private, or none at all
    NETWORK = "network"  #: the server was not reached, or did not answer as it should
    HUB_REFUSED = "hub_refused"  #: the hub does not take what is pushed; the detail says why
    GPU_LOST = "gpu_lost"
    HANG = "hang"
    KILLED = "killed"  #: a signal from outside ended it
    QUIT_UNASKED = "quit_unasked"  #: it found a signal file that this service did not write
    DID_NOT_TRAIN = "did_not_train"  #: exit code 0 without the trainer's word that it was done
    CACHE_INCOMPLETE = "cache_incomplete"  #: exit code 0, but what it cached is not there, or not to be trusted
    TRAINER_ERROR = "trainer_error"  #: an error of the trainer's own; the detail has its last words
    COULD_NOT_START = "could_not_start"
    SUPERVISOR_LOST = "supervisor_lost"
    MACHINE_RESTARTED = "machine_restarted"
    NODE_LOST = "node_lost"  #: the machine of the cluster that it ran on is gone, or was taken out
    JOB_CANCELLED = "job_cancelled"  #: somebody cancelled its job in the cluster
    JOB_LOST = "job_lost"  #: the cluster's controller forgot that it ran, and had it ended
    STORAGE_UNSEEN = "storage_unseen"  #: the machine of the cluster does not see STORAGE_ROOT, or may not write there
    PREEMPTED = "preempted"  #: the cluster has given its GPUs to a job with more right to them
    TIME_LIMIT = "time_limit"  #: the cluster's time limit for it was over


#: Causes that lie outside the training: tried again without being asked, this many times in a row.
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

#: What `max_retries` covers unless `retry_on` says otherwise: causes that another try can get past.
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
    """Why an attempt failed, in words, and what to do about it."""

    code: CauseCode
    detail: str
    remedy: str
    last_lines: tuple[str, ...] = ()
    said: str | None = None  #: a stable word for this very detail and remedy, finer than `code`
    detail_code: ReasonCode | None = None  #: what the detail says; None where it is the trainer's own words
    remedy_code: ReasonCode | None = None

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
        """A cause in the service's own words: each `{name}` in detail and remedy is replaced by that parameter."""
        told, advice = Reason.of(detail, f"{said}_detail", **params), Reason.of(remedy, f"{said}_remedy", **params)
        return cls(code, told.text, advice.text, tuple(last_lines), said, told.said, advice.said)

    @property
    def words(self) -> Words:
        """The detail together with its code."""
        return words_of(self.detail, self.detail_code)
