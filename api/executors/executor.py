"""The seam to what runs attempts: a machine, or a cluster. It tells their phase and place; their outcome, a supervisor.

Absent, unknown and dead are three things: only an outcome, or the proof that nothing of an attempt lives, ends it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from api.domain.engine import EngineWishes
from api.domain.log import LogPart, LogSpan, LogTime
from api.domain.reason import Reason, Words
from api.domain.task import ProcessIdentity
from api.domain.training import StopRung

#: Gives the directory that the attempt of a uid would have; None without one.
Locate = Callable[[str], Path | None]


class Phase(StrEnum):
    """Where an attempt is in its life, as far as the executor sees."""

    ABSENT = (
        "absent"  #: nothing watches over it and no outcome is recorded: it was never started, or is to be taken over
    )
    QUEUED = "queued"  #: an engine has it and begins it later
    UNKNOWN = "unknown"  #: it cannot be seen from here: another pid namespace or machine, an unreadable directory
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"  #: the outcome is recorded


class EngineSilent(OSError):
    """An engine does not answer: whether it has taken what it was given, a later look shows. Nobody has refused it."""


class EngineFull(OSError):
    """An engine takes no more for now, and has not taken this: there will be room as others end."""


class EngineNever(OSError):
    """An engine does not take this, however long it waits: it asks for more than there is for it at all."""


@dataclass(frozen=True, slots=True)
class AttemptRef:
    """An attempt, by its uid: the directory that its supervisor works in, and the log of its task."""

    uid: str
    directory: Path
    log_directory: Path  #: the task's: all its attempts share one log


@dataclass(frozen=True, slots=True)
class Submission:
    """What a supervisor is told: what to start, where and how."""

    ref: AttemptRef
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]  #: the trainer's whole environment
    phrases: tuple[str, ...] = ()  #: phrases that are looked for in the output and reported in the outcome
    step_prefix: str = "steps: "
    log_max_bytes: int = 2**30
    leftover_seconds: float = 5.0  #: how long what outlives the main process is left alone
    gpu_uuids: tuple[str, ...] = ()  #: recorded, so that whoever finds the attempt knows what it occupies
    has_run: bool = False  #: it was seen running: whatever its directory says, it is never started anew
    #: The directory that its trainer writes to, one level below its task's; None: it is a program of the service's own.
    output_dir: Path | None = None
    files: tuple[str, ...] = ()  #: the names of those in the attempt's directory that its trainer reads
    node: str | None = None  #: the machine that it is meant for
    master_port: int | None = None  #: the port in its command; where that is taken, the node chooses another one
    wishes: EngineWishes | None = None  #: what its request wishes of the engine of a cluster


@dataclass(frozen=True, slots=True)
class StopOrder:
    """How an attempt is to be stopped. `signal_file` None leaves the first rung out."""

    signal_file: Path | None = None
    checkpoint_seconds: float = 120.0
    terminate_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `exit.json` says.

    `reason`: exited, could_not_start, stopped_before_start (the order to stop was there first), supervisor_lost (nobody
    saw how it ended), machine_restarted, and of a cluster node_lost, preempted, time_limit,
    storage_unseen (its machine does not share the storage), job_lost (the engine forgot that it ran, and ended it),
    job_cancelled (somebody cancelled its job in the engine).
    """

    reason: str
    exit_code: int | None
    signal: int | None  #: what ended it, when no exit code did
    error: str | None
    stop_requested: bool
    stop_rung: StopRung | None  #: the rung of the stop at which the main process ended
    last_step: int | None
    phrases: frozenset[str]
    started_at: float | None  #: Unix seconds
    ended_at: float
    survivors_killed: int = 0  #: how many processes outlived the main one and had to be ended
    log_offset: int | None = None  #: the offset in the task's log at which this attempt's output begins
    log_bytes: int = 0  #: how much of the log is its output
    seconds: float | None = None  #: how long the trainer ran, whatever was done to the wall clock
    log_lost_bytes: int = 0  #: how much of its output is in no log
    error_number: int | None = None  #: the errno of `error`, where it has one
    error_file: str | None = None  #: the file or directory that `error` is about, where it names one


@dataclass(frozen=True, slots=True)
class Observation:
    """An attempt as the executor sees it now."""

    phase: Phase
    node: str
    process: ProcessIdentity | None = None  #: the trainer's main process
    supervisor: ProcessIdentity | None = None
    stop_rung: StopRung | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    log_start: int | None = None  #: the offset in the task's log at which its lines begin
    log_lost_bytes: int | None = None  #: how much of its output is in no log: the disk was full, or it came too fast
    seconds: float | None = None  #: how long the trainer has run, whatever was done to the wall clock
    age: float = 0.0  #: seconds since it was last seen; 0 while it is seen
    is_called_away: bool = False  #: an engine wants its GPUs back, and gives it a moment to save what it has
    gpu_indices: tuple[int, ...] | None = None  #: the GPUs that an engine gave it on its node; None: those of its claim


@dataclass(frozen=True, slots=True)
class LivingAttempt:
    """An attempt of which some process lives, as the machine itself shows it."""

    ref: AttemptRef
    gpu_uuids: tuple[str, ...]  #: the GPUs that it was given, by its own record
    supervisor: ProcessIdentity | None
    members: tuple[ProcessIdentity, ...]  #: its processes that carry its marker
    has_ended: bool = False  #: whether its outcome is recorded already: what lives of it has nothing left to do


@dataclass(frozen=True, slots=True)
class NodeState:
    """A machine that runs attempts."""

    name: str
    state: str = "up"  #: up, draining, down or unknown
    reason: str | None = None
    gpu_count: int | None = None  #: how many GPUs an engine has there; None where no engine counts them
    gpus_used: int | None = None
    holders: Mapping[int, Words] = field(default_factory=dict)  #: what the engine has given each index to, in words
    details: Mapping[str, Any] = field(default_factory=dict)
    bar: Reason | None = None  #: why nothing is to be started there, although an engine would


@dataclass(frozen=True, slots=True)
class AheadOfTurn:
    """An attempt that a task would begin next, for which an engine may choose GPUs of these nodes already."""

    uid: str
    directory: Path
    gpu_count: int
    nodes: frozenset[str]
    wishes: EngineWishes | None = None


@dataclass(frozen=True, slots=True)
class GivenAhead:
    """What an engine has for such an attempt: its place, and once it has chosen the node and the GPUs there."""

    number: int  #: those of the same priority have their turns in this order
    node: str = ""  #: none while it waits
    gpu_indices: tuple[int, ...] = ()
    nodes: frozenset[str] | None = None  #: those of which it may choose while it waits; None where that is not known
    reason: Reason | None = None  #: why the engine lets it wait, where it says more than that it does


class EngineQueue(Protocol):
    """The queue of an engine that others use, too. Nothing is an attempt there: that begins once it is claimed.

    Every call may raise OSError.
    """

    def list(self) -> Mapping[str, GivenAhead]:
        """What was handed over ahead of its turn and is not begun, by the uid of the attempt."""
        ...

    def has_job(self, uid: str) -> bool:
        """Return whether the engine has a job of this attempt that is not over, handed over ahead or not."""
        ...

    def hand_over(self, wanted: AheadOfTurn) -> bool:
        """Has the engine choose GPUs; False where that cannot be for this attempt."""
        ...

    def widen(self, uid: str, nodes: frozenset[str]) -> None:
        """Has it choose of these nodes from now on, as long as it has not chosen; its place stays."""
        ...

    def take_back(self, uids: Sequence[str]) -> None:
        """Has it choose none for these any more, and gives back those that it has chosen."""
        ...


class LogCursor(Protocol):
    """A reader at a place in a log, which goes on from there; to look for news costs little."""

    offset: int  #: of the next byte

    def read(self, limit: int) -> tuple[int, bytes]:
        """Up to `limit` bytes more, and where they begin: later when older ones are gone. Raises OSError."""
        ...

    def close(self) -> None:
        """Closes the files that it holds open."""
        ...


class Log(Protocol):
    """A log that may grow and lose its oldest bytes meanwhile; an offset names the same byte for ever.

    One that is not there is empty. Every call may raise OSError.
    """

    @property
    def directory(self) -> Path:
        """The directory in which something changes whenever the log does."""
        ...

    def first(self) -> int:
        """The offset of the first byte that is still there."""
        ...

    def end(self) -> int:
        """The offset behind the last byte."""
        ...

    def span(self) -> LogSpan:
        """How many bytes and lines there are, and were."""
        ...

    def read(self, offset: int, limit: int) -> tuple[int, bytes]:
        """Up to `limit` bytes from `offset`, and where they begin: later when older ones are gone."""
        ...

    def follow(self, offset: int) -> LogCursor:
        """A cursor that reads on from this offset."""
        ...

    def open_parts(self) -> tuple[int, tuple[LogPart, ...]]:
        """The offset of the first byte, and all files of the log, open so that none can vanish meanwhile.

        Raises FileNotFoundError when the oldest went just now.
        """
        ...

    def times_between(self, offset: int, end: int) -> Sequence[LogTime]:
        """When these bytes came: the last time at or before `offset`, and those up to `end`, ascending."""
        ...

    def newlines_before(self, offset: int) -> int:
        """The newlines before this byte since the log began; before the first that is there for one that is gone."""
        ...

    def offset_at(self, at: float) -> int:
        """The first byte that came at or after this time (Unix seconds); the end when none has."""
        ...


class LogSink(Protocol):
    """Where a log is written."""

    def write(self, data: bytes) -> None:
        """Appends the data; what the disk does not take is dropped and counted."""
        ...

    def close(self) -> None:
        """Closes the files."""
        ...


class Executor(Protocol):
    """Runs attempts. Every call is quick, and may be repeated."""

    def nodes(self) -> Sequence[NodeState]:
        """The machines that it runs attempts on."""
        ...

    def submit(self, submission: Submission) -> None:
        """Starts the attempt's supervisor unless it runs, has ended or cannot be seen; the same uid never starts twice.

        Called again for an attempt whose supervisor is gone, it starts one that takes the attempt over, also when the
        attempt's directory is gone with it. Raises OSError; EngineSilent where it was perhaps submitted,
        EngineFull and EngineNever where it certainly was not.
        """
        ...

    def observe(self, attempts: Sequence[AttemptRef]) -> Mapping[str, Observation]:
        """What is seen of each of these attempts, by uid."""
        ...

    def stop(self, ref: AttemptRef, order: StopOrder) -> None:
        """Asks for a stop; a harder order replaces a softer one. An attempt that has ended stays as it is."""
        ...

    def prepare_leave(self, ref: AttemptRef, order: StopOrder) -> None:
        """Tell the supervisor how to stop once an engine ends its job, which only sends SIGTERM. Raises OSError."""
        ...

    def survivors(self, ref: AttemptRef) -> Sequence[int]:
        """The pids that still carry the attempt's marker: none may be left when its GPUs are given to others."""
        ...

    def living(self, root: Path, locate: Locate, uids: Callable[[], Iterable[str]]) -> Sequence[LivingAttempt]:
        """All attempts that live in directories below `root`, also those that the database does not know.

        `locate` gives the directory that the attempt of a uid would have; None without one. `uids` lists those that
        have one: it is asked when processes are found that do not say whose they are.
        """
        ...

    def used_gpus(self, ref: AttemptRef) -> Collection[str] | None:
        """The UUIDs of the GPUs on which the attempt's processes are at work, whatever it was given; None when nobody
        can tell.
        """
        ...

    def free_port(self, node: str, held: Collection[int]) -> int:
        """A port for a trainer's master on this machine: nobody listens there now, and `held` are left out."""
        ...

    def why_queued(self, ref: AttemptRef) -> Reason | None:
        """Why an engine has not begun the attempt that it has; None for any other."""
        ...

    def lost_bytes(self, ref: AttemptRef) -> int | None:
        """How much of the attempt's output is in no log, by its running supervisor; None while that has not told."""
        ...

    def open_log(self, log_directory: Path) -> Log:
        """The log of a task, over all its attempts."""
        ...

    def read_log(self, ref: AttemptRef, offset: int, limit: int) -> tuple[int, bytes]:
        """Up to `limit` bytes of the task's log from `offset`, and where they begin: later when older ones are gone."""
        ...
