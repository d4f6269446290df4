"""The interface of executors, which run attempts on this machine or on a cluster.

An executor reports the phase and location of an attempt; its supervisor records the outcome. Absent, unknown and dead
are different states: an attempt ends only with an outcome, or with proof that none of its processes is alive.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from api.domain.log import LogPart, LogSpan, LogTime
from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.cluster_options import ClusterOptions
from api.domain.tasks.task import ProcessIdentity
from api.domain.tasks.training import StopRung

#: Returns the directory for the attempt with the given uid, or None if it has none.
Locate = Callable[[str], Path | None]


class Phase(StrEnum):
    """The life-cycle phase of an attempt, as the executor observes it."""

    # No supervisor and no recorded outcome: it was never started, or a new supervisor must take it over.
    ABSENT = "absent"
    QUEUED = "queued"  #: the engine has accepted it and starts it later
    UNKNOWN = "unknown"  #: not visible from here: another pid namespace or machine, or an unreadable directory
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"  #: the outcome is recorded


class EngineUnavailable(OSError):
    """The engine does not answer. It may have accepted the request; a later observation shows whether it did."""


class EngineFull(OSError):
    """The engine has rejected the request for now, because of a limit. It can succeed once other jobs end."""


class EngineRejected(OSError):
    """The engine can never accept this request, because it exceeds the resources that exist."""


@dataclass(frozen=True, slots=True)
class AttemptRef:
    """An attempt's uid, its supervisor's working directory and the log directory of its task."""

    uid: str
    directory: Path
    log_directory: Path  #: of the task: all its attempts share one log


@dataclass(frozen=True, slots=True)
class Submission:
    """What to start, where, and how: the input of a supervisor."""

    ref: AttemptRef
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]  #: the complete environment of the trainer
    phrases: tuple[str, ...] = ()  #: phrases to search for in the output; the outcome lists those found
    step_prefix: str = "steps: "
    log_max_bytes: int = 2**30
    leftover_seconds: float = 5.0  #: how long processes that outlive the main process may continue
    #: recorded, so that a reader of the attempt's directory knows which GPUs it occupies
    gpu_uuids: tuple[str, ...] = ()
    has_run: bool = False  #: it was observed running: never start it again, whatever its directory contains
    #: The trainer's output directory, one level below its task's. None for a program of the service itself.
    output_dir: Path | None = None
    files: tuple[str, ...] = ()  #: the names of the files in the attempt's directory that the trainer reads
    node: str | None = None  #: the machine that should run it
    master_port: int | None = None  #: the port in its command; if it is in use there, the node chooses another one
    cluster_options: ClusterOptions | None = None  #: the request's options for the engine of a cluster


@dataclass(frozen=True, slots=True)
class StopOrder:
    """How to stop an attempt. Without a `signal_file` the stop skips the first rung."""

    signal_file: Path | None = None
    checkpoint_seconds: float = 120.0
    terminate_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The content of `exit.json`.

    Values of `reason` on any machine: exited; could_not_start; stopped_before_start (the stop order came first);
    supervisor_lost (no supervisor saw the end); machine_restarted.

    Further values on a cluster: node_lost; preempted; time_limit; storage_unseen (the node does not share the storage);
    job_lost (the engine lost its record of the job, which ended); job_cancelled (a user cancelled the job in the
    engine).
    """

    reason: str
    exit_code: int | None
    signal: int | None  #: the signal that ended it, if there is no exit code
    error: str | None
    stop_requested: bool
    stop_rung: StopRung | None  #: the stop rung during which the main process ended
    last_step: int | None
    phrases: frozenset[str]
    started_at: float | None  #: Unix seconds
    ended_at: float
    survivors_killed: int = 0  #: processes that outlived the main process and were killed
    log_offset: int | None = None  #: the offset in the task's log where this attempt's output starts
    log_bytes: int = 0  #: the size of this attempt's output in the log
    seconds: float | None = None  #: the running time, independent of changes to the wall clock
    log_lost_bytes: int = 0  #: bytes of output that are in no log
    error_number: int | None = None  #: the errno of `error`, if it has one
    error_file: str | None = None  #: the file or directory that `error` names, if any


@dataclass(frozen=True, slots=True)
class Observation:
    """The current state of an attempt, as the executor observes it."""

    phase: Phase
    node: str
    process: ProcessIdentity | None = None  #: the main process of the trainer
    supervisor: ProcessIdentity | None = None
    stop_rung: StopRung | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    log_start: int | None = None  #: the offset in the task's log where its output starts
    #: bytes of output that are in no log, because the disk was full or output came too fast
    log_lost_bytes: int | None = None
    seconds: float | None = None  #: the running time so far, independent of changes to the wall clock
    age: float = 0.0  #: seconds since the attempt was last visible; 0 while it is visible
    must_leave: bool = False  #: the engine is about to take back its GPUs and leaves it time to save
    #: the GPUs that the engine assigned on its node; None: those of its claim
    gpu_indices: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class LivingAttempt:
    """An attempt with at least one living process, found among the processes of this machine."""

    ref: AttemptRef
    gpu_uuids: tuple[str, ...]  #: the GPUs assigned to it, according to its own record
    supervisor: ProcessIdentity | None
    members: tuple[ProcessIdentity, ...]  #: its processes that carry its marker
    has_ended: bool = False  #: its outcome is recorded: processes that still live have nothing left to do


@dataclass(frozen=True, slots=True)
class NodeState:
    """A machine that runs attempts."""

    name: str
    state: str = "up"  #: up, draining, down or unknown
    reason: str | None = None
    gpu_count: int | None = None  #: the number of GPUs that the engine knows there; None without an engine
    #: for each GPU index, a description of what the engine has assigned it to
    holders: Mapping[int, ReasonOrText] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    bar: Reason | None = None  #: why the service starts nothing there, although the engine would


@dataclass(frozen=True, slots=True)
class EarlyJobRequest:
    """An attempt that is next in line, for which the engine may already choose GPUs on these nodes."""

    uid: str
    directory: Path
    gpu_count: int
    nodes: frozenset[str]
    cluster_options: ClusterOptions | None = None


@dataclass(frozen=True, slots=True)
class EarlyJob:
    """The engine's job for an attempt that is next in line: its position, then the node and GPUs once chosen."""

    number: int  #: jobs of equal priority start in this order
    node: str = ""  #: empty while it waits
    gpu_indices: tuple[int, ...] = ()
    nodes: frozenset[str] | None = None  #: the nodes it may still choose from; None if unknown
    reason: Reason | None = None  #: why the engine lets it wait, if it reports a reason


class EngineQueue(Protocol):
    """The queue of an engine that other users share.

    A job in it becomes an attempt only once the scheduler claims its GPUs. Every call may raise OSError.
    """

    def list(self) -> Mapping[str, EarlyJob]:
        """Return the jobs submitted early that have not started, by attempt uid."""

    def has_job(self, uid: str) -> bool:
        """Return whether the engine has an unfinished job for this attempt, submitted early or not."""

    def hand_over(self, wanted: EarlyJobRequest) -> bool:
        """Let the engine choose GPUs for an attempt. Return False if that is impossible for this attempt."""

    def set_allowed_nodes(self, uid: str, nodes: frozenset[str]) -> None:
        """Replace the nodes the engine may choose from, unless it has chosen. The job keeps its position."""

    def cancel_jobs(self, uids: Sequence[str]) -> None:
        """Cancel these early jobs and return the GPUs that the engine has chosen for them."""


class LogCursor(Protocol):
    """A reader at an offset of a log. Polling it for new output is cheap."""

    offset: int  #: of the next byte

    def read(self, limit: int) -> tuple[int, bytes]:
        """Return up to `limit` more bytes and their offset, which is later if older bytes were deleted.

        Raises OSError.
        """

    def close(self) -> None:
        """Close the files that the cursor holds open."""


class Log(Protocol):
    """A log that may grow, and lose its oldest bytes, while it is read.

    An offset always names the same byte. A missing log reads as empty. Every call may raise OSError.
    """

    @property
    def directory(self) -> Path:
        """The directory to watch for changes of the log."""

    def first(self) -> int:
        """Return the offset of the first byte that still exists."""

    def end(self) -> int:
        """Return the offset after the last byte."""

    def span(self) -> LogSpan:
        """Return the current and total numbers of bytes and lines."""

    def read(self, offset: int, limit: int) -> tuple[int, bytes]:
        """Return up to `limit` bytes from `offset`, and their offset, which is later if older bytes were deleted."""

    def follow(self, offset: int) -> LogCursor:
        """Return a cursor that starts at this offset."""

    def open_parts(self) -> tuple[int, tuple[LogPart, ...]]:
        """Return the offset of the first byte and all files of the log, opened so that none can vanish.

        Raises FileNotFoundError when the oldest file was deleted in the meantime.
        """

    def times_between(self, offset: int, end: int) -> Sequence[LogTime]:
        """Return arrival times: the last one at or before `offset`, and those up to `end`, ascending."""

    def newlines_before(self, offset: int) -> int:
        """Return the number of newlines before this byte since the log began.

        For a deleted byte, return the number before the first byte that still exists.
        """

    def offset_at(self, at: float) -> int:
        """Return the offset of the first byte at or after this time (Unix seconds), or the end if there is none."""


class LogSink(Protocol):
    """A writer of a log."""

    def write(self, data: bytes) -> None:
        """Append the data. Bytes that the disk does not accept are dropped and counted."""

    def close(self) -> None:
        """Close the files."""


class Executor(Protocol):
    """An implementation that runs attempts. Every call is quick and idempotent."""

    def nodes(self) -> Sequence[NodeState]:
        """Return the machines on which it runs attempts."""

    def submit(self, submission: Submission) -> None:
        """Start the attempt's supervisor, unless it runs, has ended or is not visible.

        The same uid never starts twice. If the supervisor is missing, a new one takes the attempt over, even if the
        attempt's directory was deleted.

        Raises OSError; EngineUnavailable if the submission may have succeeded; EngineFull or EngineRejected if it has
        certainly failed.
        """

    def observe(self, attempts: Sequence[AttemptRef]) -> Mapping[str, Observation]:
        """Return an observation of each of these attempts, by uid."""

    def stop(self, ref: AttemptRef, order: StopOrder) -> None:
        """Request a stop. A harder order replaces a softer one. An attempt that has ended does not change."""

    def prepare_leave(self, ref: AttemptRef, order: StopOrder) -> None:
        """Store the order that the supervisor follows when an engine ends its job, which only sends SIGTERM.

        Raises OSError.
        """

    def survivors(self, ref: AttemptRef) -> Sequence[int]:
        """Return the pids that still carry the attempt's marker. Its GPUs are not reused while there are any."""

    def living(self, root: Path, locate: Locate, uids: Callable[[], Iterable[str]]) -> Sequence[LivingAttempt]:
        """Return all living attempts with directories below `root`, including those missing from the database.

        `locate` returns the directory for an attempt uid, or None. `uids` lists all uids that have one; it is called
        only when processes are found that do not show their uid.
        """

    def used_gpus(self, ref: AttemptRef) -> Collection[str] | None:
        """Return the UUIDs of the GPUs that the attempt's processes use, whatever was assigned; None if unknown."""

    def free_port(self, node: str, held: Collection[int]) -> int:
        """Return a port on this machine for a trainer's master: unused, and not in `held`."""

    def why_queued(self, ref: AttemptRef) -> Reason | None:
        """Return why an engine has not started this attempt; None if no engine has queued it."""

    def lost_bytes(self, ref: AttemptRef) -> int | None:
        """Return the bytes of output in no log, as the running supervisor reports; None if not reported yet."""

    def open_log(self, log_directory: Path) -> Log:
        """Return the log of a task, which contains all its attempts."""

    def read_log(self, ref: AttemptRef, offset: int, limit: int) -> tuple[int, bytes]:
        """Return up to `limit` bytes of the task's log from `offset`, and their offset.

        The offset is later if older bytes were deleted.
        """
