"""An executor that runs no processes: tests set the state of each attempt and read the recorded calls."""

import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from api.domain.log import LogPart, LogSpan, LogTime
from api.domain.reason import Reason, ReasonCode
from api.domain.tasks.task import ProcessIdentity
from api.domain.tasks.training import StopRung
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
from api.executors.ports import FIRST_PORT, LAST_PORT


class MemoryLog:
    """A log that grows by `add`, never loses its beginning, and writes nothing to disk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.content = b""
        self._times: list[LogTime] = []

    def add(self, content: bytes, at: float | None = None) -> None:
        """Append output that came now, or at the given time (Unix seconds)."""
        self._times.append(LogTime(self.end(), self.content.count(b"\n"), time.time() if at is None else at))
        self.content += content

    def first(self) -> int:
        return 0

    def end(self) -> int:
        return len(self.content)

    def span(self) -> LogSpan:
        return LogSpan(0, self.end(), 0, self.content.count(b"\n"))

    def read(self, offset: int, limit: int) -> tuple[int, bytes]:
        return offset, self.content[max(0, offset) : max(0, offset) + max(0, limit)]

    def follow(self, offset: int) -> "MemoryLogCursor":
        return MemoryLogCursor(self, offset)

    def open_parts(self) -> tuple[int, tuple[LogPart, ...]]:
        descriptor = os.memfd_create("log")
        os.write(descriptor, self.content)
        return 0, (LogPart(descriptor, self.end()),)

    def times_between(self, offset: int, end: int) -> Sequence[LogTime]:
        begin = max(0, bisect_right(self._times, offset, key=lambda time: time.offset) - 1)
        return self._times[begin : bisect_right(self._times, end, key=lambda time: time.offset)]

    def newlines_before(self, offset: int) -> int:
        return self.content.count(b"\n", 0, max(0, offset))

    def offset_at(self, at: float) -> int:
        place = bisect_left(self._times, at, key=lambda time: time.at)
        return self._times[place].offset if place < len(self._times) else self.end()


class MemoryLogCursor:
    """Reads on in a MemoryLog."""

    def __init__(self, log: MemoryLog, offset: int) -> None:
        self.offset = offset
        self._log = log

    def read(self, limit: int) -> tuple[int, bytes]:
        began, content = self._log.read(self.offset, limit)
        self.offset = began + len(content)
        return began, content

    def close(self) -> None:
        """Do nothing: no file is open."""


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
    """Return an outcome, by default of a trainer that exited with code 0. With a rung, a stop was requested."""
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
    """Records every call in `submissions` and `orders`.

    A submitted attempt counts as running, without a process, until the test changes its state.
    """

    def __init__(self, node: str = "here") -> None:
        self.submissions: list[Submission] = []
        self.orders: list[tuple[AttemptRef, StopOrder]] = []
        self.leave_orders: list[tuple[AttemptRef, StopOrder]] = []
        self.refusal: OSError | None = None  #: raised by submit and stop while it is set
        self._node = node
        self._observations: dict[str, Observation] = {}
        self._logs: dict[Path, MemoryLog] = {}
        self._given_logs: dict[Path, Log] = {}
        self._taken_ports: frozenset[int] = frozenset()
        self._used_gpus: dict[str, frozenset[str]] = {}
        self._lost_bytes: dict[str, int] = {}
        self._living: tuple[LivingAttempt, ...] = ()
        self._survivors: dict[str, tuple[int, ...]] = {}

    # Called by tests

    def runs(self, uid: str, process: ProcessIdentity | None = None, log_start: int | None = 0) -> None:
        """Set the attempt to running."""
        self._observations[uid] = Observation(Phase.RUNNING, self._node, process=process, log_start=log_start)

    def is_stopping(self, uid: str, rung: StopRung = StopRung.CHECKPOINT) -> None:
        """Set the attempt to stopping at this rung."""
        known = self._observe(uid)
        self._observations[uid] = replace(known, phase=Phase.STOPPING, stop_rung=rung)

    def ends(self, uid: str, with_outcome: Outcome | None = None) -> None:
        """End the attempt, by default with exit code 0."""
        ended = with_outcome or outcome()
        self._observations[uid] = Observation(Phase.ENDED, self._node, stop_rung=ended.stop_rung, outcome=ended)

    def is_queued(self, uid: str, reason: str | None = None) -> None:
        """Set the attempt to queued: an engine has it and starts it later."""
        self._observations[uid] = Observation(Phase.QUEUED, self._node, reason=reason)

    def must_leave(self, uid: str) -> None:
        """Let an engine request the attempt's GPUs back."""
        self._observations[uid] = replace(self._observe(uid), must_leave=True)

    def is_absent(self, uid: str, reason: str | None = None) -> None:
        """Set the attempt to absent, with no outcome recorded."""
        self._observations[uid] = Observation(Phase.ABSENT, self._node, reason=reason)

    def is_unknown(self, uid: str, reason: str, age: float = 0.0) -> None:
        """Set the attempt to not visible, with `reason`."""
        self._observations[uid] = Observation(Phase.UNKNOWN, self._node, reason=reason, age=age)

    def prints(self, log_directory: Path, content: bytes) -> None:
        """Append output to a task's log."""
        self._log(log_directory).add(content)

    def printed(self, log_directory: Path) -> bytes:
        """Return all output of a task's attempts."""
        return self.open_log(log_directory).read(0, 2**40)[1]

    def use_log(self, log: Log) -> None:
        """Use this log for the task with its directory, instead of the printed output."""
        self._given_logs[log.directory] = log

    def lose_output(self, uid: str, count: int) -> None:
        """Set how many bytes of the attempt's output are in no log."""
        self._lost_bytes[uid] = count

    def uses_gpus(self, uid: str, *gpu_uuids: str) -> None:
        """Let the attempt's processes use these GPUs, whatever was assigned."""
        self._used_gpus[uid] = frozenset(gpu_uuids)

    def occupies_ports(self, *ports: int) -> None:
        """Mark these ports as in use by other programs."""
        self._taken_ports = frozenset(ports)

    def leaves_survivors(self, uid: str, *pids: int) -> None:
        """Let these processes still carry the attempt's marker."""
        self._survivors[uid] = pids

    def finds(self, *living: LivingAttempt) -> None:
        """Let `living` return these attempts."""
        self._living = living

    # Called by the services

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
        return self._given_logs.get(log_directory) or self._log(log_directory)

    def read_log(self, ref: AttemptRef, offset: int, limit: int) -> tuple[int, bytes]:
        return self.open_log(ref.log_directory).read(offset, limit)

    def _log(self, directory: Path) -> MemoryLog:
        return self._logs.setdefault(directory, MemoryLog(directory))

    def _observe(self, uid: str) -> Observation:
        return self._observations.get(uid) or Observation(Phase.ABSENT, self._node, reason="it was never started")
