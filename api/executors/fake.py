"""An executor that runs nothing: tests say what happens to each attempt, and read what was asked for."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from api.domain.reason import Reason, ReasonCode
from api.domain.task import ProcessIdentity
from api.domain.training import StopRung
from api.executors.executor import (
    AttemptRef,
    LivingAttempt,
    Locate,
    Log,
    NodeState,
    Observation,
    Outcome,
    Phase,
    StopOrder,
    Submission,
)
from api.executors.memory_log import MemoryLog
from api.executors.ports import FIRST_PORT, LAST_PORT


def outcome(
    reason: str = "exited",
    exit_code: int | None = 0,
    signal: int | None = None,
    error: str | None = None,
    stop_rung: StopRung | None = None,
    last_step: int | None = None,
    phrases: Iterable[str] = (),
    started_at: float | None = 0.0,
    ended_at: float = 0.0,
    log_lost_bytes: int = 0,
    error_number: int | None = None,
    error_file: str | None = None,
) -> Outcome:
    """An outcome, by default of a trainer that exited with code 0. With a rung it was asked to stop."""
    return Outcome(
        reason=reason,
        exit_code=exit_code,
        signal=signal,
        error=error,
        stop_requested=stop_rung is not None,
        stop_rung=stop_rung,
        last_step=last_step,
        phrases=frozenset(phrases),
        started_at=started_at,
        ended_at=ended_at,
        log_lost_bytes=log_lost_bytes,
        error_number=error_number,
        error_file=error_file,
    )


class FakeExecutor:
    """Keeps what it was told in `submissions` and `orders`, every call of it.

    An attempt that was submitted runs, without a process, until the test says otherwise.
    """

    def __init__(self, node: str = "here") -> None:
        self.submissions: list[Submission] = []
        self.orders: list[tuple[AttemptRef, StopOrder]] = []
        self.leave_orders: list[tuple[AttemptRef, StopOrder]] = []
        self.refusal: OSError | None = None  #: raised by submit and stop while it is set
        self._node = node
        self._observations: dict[str, Observation] = {}
        self._logs: dict[Path, MemoryLog] = {}
        self._kept_logs: dict[Path, Log] = {}
        self._taken_ports: frozenset[int] = frozenset()
        self._used_gpus: dict[str, frozenset[str]] = {}
        self._lost_bytes: dict[str, int] = {}
        self._living: tuple[LivingAttempt, ...] = ()
        self._survivors: dict[str, tuple[int, ...]] = {}

    # What a test says

    def runs(self, uid: str, process: ProcessIdentity | None = None, log_start: int | None = 0) -> None:
        """Lets the attempt run from now on."""
        self._observations[uid] = Observation(Phase.RUNNING, self._node, process=process, log_start=log_start)

    def is_stopping(self, uid: str, rung: StopRung = StopRung.CHECKPOINT) -> None:
        """Lets the attempt be stopping, at this rung."""
        known = self._observe(uid)
        self._observations[uid] = replace(known, phase=Phase.STOPPING, stop_rung=rung)

    def ends(self, uid: str, with_outcome: Outcome | None = None) -> None:
        """Ends the attempt: by itself with exit code 0, unless an outcome says otherwise."""
        ended = with_outcome or outcome()
        self._observations[uid] = Observation(Phase.ENDED, self._node, stop_rung=ended.stop_rung, outcome=ended)

    def is_queued(self, uid: str, reason: str | None = None) -> None:
        """Lets an engine have the attempt, and begin it later."""
        self._observations[uid] = Observation(Phase.QUEUED, self._node, reason=reason)

    def is_called_away(self, uid: str) -> None:
        """Lets an engine want the attempt's GPUs back."""
        self._observations[uid] = replace(self._observe(uid), is_called_away=True)

    def is_absent(self, uid: str, reason: str | None = None) -> None:
        """Lets nothing of the attempt run, with no outcome recorded."""
        self._observations[uid] = Observation(Phase.ABSENT, self._node, reason=reason)

    def is_unknown(self, uid: str, reason: str, age: float = 0.0) -> None:
        """Lets the attempt be invisible, for `reason`."""
        self._observations[uid] = Observation(Phase.UNKNOWN, self._node, reason=reason, age=age)

    def prints(self, log_directory: Path, content: bytes) -> None:
        """Appends output to a task's log."""
        self._log(log_directory).add(content)

    def printed(self, log_directory: Path) -> bytes:
        """All that a task's attempts have printed."""
        return self.open_log(log_directory).read(0, 2**40)[1]

    def keeps(self, log: Log) -> None:
        """Makes this the log of the task whose directory it names, instead of what is printed."""
        self._kept_logs[log.directory] = log

    def loses(self, uid: str, count: int) -> None:
        """Says that so many bytes of the attempt's output are in no log."""
        self._lost_bytes[uid] = count

    def is_at_work_on(self, uid: str, *gpu_uuids: str) -> None:
        """Lets the attempt's processes use these GPUs, whatever it was given."""
        self._used_gpus[uid] = frozenset(gpu_uuids)

    def hears_on(self, *ports: int) -> None:
        """Lets these ports be in use by others."""
        self._taken_ports = frozenset(ports)

    def leaves_behind(self, uid: str, *pids: int) -> None:
        """Lets these processes still carry the attempt's marker."""
        self._survivors[uid] = pids

    def finds(self, *living: LivingAttempt) -> None:
        """Makes `living` return these attempts."""
        self._living = living

    # What the services call

    def nodes(self) -> Sequence[NodeState]:
        return (NodeState(self._node),)

    def submit(self, submission: Submission) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.submissions.append(submission)
        if self._observe(submission.ref.uid).phase is Phase.ABSENT:
            self.runs(submission.ref.uid)

    def observe(self, attempts: Sequence[AttemptRef]) -> Mapping[str, Observation]:
        return {attempt.uid: self._observe(attempt.uid) for attempt in attempts}

    def stop(self, ref: AttemptRef, order: StopOrder) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.orders.append((ref, order))

    def prepare_leave(self, ref: AttemptRef, order: StopOrder) -> None:
        self.leave_orders.append((ref, order))

    def survivors(self, ref: AttemptRef) -> Sequence[int]:
        return self._survivors.get(ref.uid, ())

    def living(self, root: Path, locate: Locate, uids: Callable[[], Iterable[str]]) -> Sequence[LivingAttempt]:
        return self._living

    def used_gpus(self, ref: AttemptRef) -> Collection[str] | None:
        if ref.uid in self._used_gpus:
            return self._used_gpus[ref.uid]
        given = [each.gpu_uuids for each in self.submissions if each.ref.uid == ref.uid]
        runs = self._observe(ref.uid).phase in (Phase.RUNNING, Phase.STOPPING)
        return frozenset(given[-1]) if given and runs else frozenset()

    def free_port(self, node: str, held: Collection[int]) -> int:
        return next(port for port in range(FIRST_PORT, LAST_PORT + 1) if port not in {*held, *self._taken_ports})

    def why_queued(self, ref: AttemptRef) -> Reason | None:
        seen = self._observe(ref.uid)
        return Reason(seen.reason or "it waits", ReasonCode("fake")) if seen.phase is Phase.QUEUED else None

    def lost_bytes(self, ref: AttemptRef) -> int | None:
        return self._lost_bytes.get(ref.uid)

    def open_log(self, log_directory: Path) -> Log:
        return self._kept_logs.get(log_directory) or self._log(log_directory)

    def read_log(self, ref: AttemptRef, offset: int, limit: int) -> tuple[int, bytes]:
        return self.open_log(ref.log_directory).read(offset, limit)

    def _log(self, directory: Path) -> MemoryLog:
        return self._logs.setdefault(directory, MemoryLog(directory))

    def _observe(self, uid: str) -> Observation:
        return self._observations.get(uid) or Observation(Phase.ABSENT, self._node, reason="it was never started")
