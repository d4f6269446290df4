"""Run attempts on this machine, each by a detached supervisor that is independent of this service."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from api.domain.tasks.task import ProcessIdentity
from api.executors import supervisor
from api.executors.attempt.cgroup import find_cgroup
from api.executors.attempt.containment import read_seen_processes
from api.executors.attempt.directory import AttemptDirectory
from api.executors.attempt.ended import has_ended, has_outcome, steady_seconds
from api.executors.attempt.output import PIPE
from api.executors.attempt.processes import is_alive, marked_processes, read_stat
from api.executors.attempt.small_files import write_json
from api.executors.executor import (
    AttemptRef,
    LivingAttempt,
    Locate,
    NodeState,
    Observation,
    Phase,
    StopOrder,
    Submission,
)
from api.executors.log_files import KeepsLogs
from api.executors.ports import pick_port
from api.executors.process_survey import HostContext, Survey, is_held_open, is_locked, list_living, supervises, survey
from api.executors.records import (
    FROZEN_SECONDS,
    Heartbeats,
    Runner,
    check_absent,
    parse_lock,
    parse_runner,
    read_outcome,
)
from api.executors.spec import describe, reject_engine_options
from api.executors.stop_orders import give_order, order_of
from api.executors.trainer_user import TrainerUser
from api.util.files.foreign_files import make_directory, open_own, read, status_of

logger = logging.getLogger(__name__)

#: Seconds in which a new supervisor must record itself; until then it counts as running.
GRACE_SECONDS = 10.0

#: The most outcomes cached in memory. They never change, so others are just read again.
_CACHED_OUTCOMES = 4096

_LOCK_HELD = 3  # the supervisor's exit code when another one holds the lock


#: The most pipes held; the oldest is closed when there are more.
MAX_HELD_PIPES = 256


class HeldPipes:
    """Holds pipes open, so that their content outlives supervisor and trainer until the next supervisor reads it."""

    def __init__(self) -> None:
        self._handles: dict[Path, int] = {}

    def hold(self, directory: Path) -> None:
        """Hold the pipe of this attempt open, if it has one."""
        if directory in self._handles:
            return
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            self._handles[directory] = os.open(directory / PIPE, flags)
        except OSError:
            return
        if len(self._handles) > MAX_HELD_PIPES:
            self.let_go(next(iter(self._handles)))

    def let_go(self, directory: Path) -> None:
        """Close the pipe of this attempt."""
        handle = self._handles.pop(directory, None)
        if handle is not None:
            os.close(handle)


@dataclass(frozen=True, slots=True)
class _Started:
    process: subprocess.Popen[bytes]
    at: float  # monotonic


@dataclass(frozen=True, slots=True)
class _Read:
    version: tuple[int, int, int]
    runner: Runner | None


class LocalExecutor(KeepsLogs):
    """The executor of one machine.

    `env` is the environment of the supervisors themselves, usually empty; some Pythons need LD_LIBRARY_PATH. A
    supervisor without a sign of life for `frozen_seconds` is killed, so that the next one replaces it. Each attempt
    gets a control group if `use_cgroups` is set and the system permits it. Attempts run as `trainer_user`, if given.
    `pids_by_gpu` returns the pids that use each GPU.
    """

    def __init__(
        self,
        python: str = sys.executable,
        node: str | None = None,
        env: Mapping[str, str] | None = None,
        frozen_seconds: float = FROZEN_SECONDS,
        use_cgroups: bool = True,
        pids_by_gpu: Callable[[], Mapping[str, Collection[int]] | None] = lambda: None,
        trainer_user: TrainerUser | None = None,
    ) -> None:
        self._python = python
        self._node = node or socket.gethostname()
        self._env = dict(env or {})
        self._host = HostContext.current(self._node)
        self._frozen_seconds = frozen_seconds
        self._use_cgroups = use_cgroups
        self._pids_by_gpu = pids_by_gpu
        self._trainer_user = trainer_user
        self._submitting = threading.Lock()
        self._lock = threading.Lock()  # guards the attributes below
        self._started: dict[Path, _Started] = {}
        self._read: dict[Path, _Read] = {}
        self._ended: dict[Path, Observation] = {}
        self._pipes = HeldPipes()
        self._heartbeats = Heartbeats()
        # monotonic time of the last visibility, for attempts that are not visible now
        self._seen_at: dict[Path, float] = {}

    def nodes(self) -> Sequence[NodeState]:
        return (NodeState(self._node),)

    # Starting

    def submit(self, submission: Submission) -> None:
        reject_engine_options(submission)
        directory = submission.ref.directory
        with self._submitting:
            if self._has_ended(directory) or self._is_supervised(directory):
                return
            # The files are in place for a supervisor that takes over. Secrets are not written again.
            is_recorded = os.path.lexists(directory / "runner.json")
            found = None if is_recorded else survey()
            if found is not None and directory.absolute() in found.supervisors:
                return
            make_directory(str(directory))
            make_directory(str(submission.ref.log_directory), levels=2)
            if found is not None:
                self._describe(submission, is_running=bool(found.members_of(submission.ref.uid)))
            self._start(directory)

    def _describe(self, submission: Submission, is_running: bool) -> None:
        """Write what to start, or only a record if the attempt is already running and must be taken over."""
        directory = submission.ref.directory
        spec = describe(submission, self._node, self._use_cgroups, self._trainer_user)
        write_json(str(directory / "spec.json"), spec)
        if not is_running and not submission.has_run:
            write_json(str(directory / "environment.json"), dict(submission.env))
            return
        write_json(str(directory / "runner.json"), {"uid": submission.ref.uid, **self._host.as_json()})

    def _start(self, directory: Path) -> None:
        with open(open_own(str(directory / "supervisor.log"), os.O_WRONLY | os.O_APPEND), "ab") as log:
            process = subprocess.Popen(
                [self._python, "-I", "-S", os.path.abspath(supervisor.__file__), str(directory.absolute())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self._env,
                close_fds=True,
                start_new_session=True,
            )
        with self._lock:
            self._started[directory] = _Started(process, time.monotonic())

    def _has_ended(self, directory: Path) -> bool:
        with self._lock:
            return self._outcome(directory, survey) is not None

    def _is_supervised(self, directory: Path) -> bool:
        with self._lock:
            self._reap()
            started = self._started.get(directory)
            if started is not None and started.process.poll() is None:
                return True
            runner = self._runner(directory)
            is_hidden = runner is not None and self._observe_hidden(directory, runner) is not None
            return is_hidden or self._has_supervisor(directory)

    def _has_supervisor(self, directory: Path) -> bool:
        runner = self._runner(directory)
        return (runner is not None and self._is_live(directory, runner)) or self._lock_holder(directory) is not None

    def _is_live(self, directory: Path, runner: Runner) -> bool:
        return self._host.matches(runner) and runner.supervisor is not None and _runs(runner.supervisor, directory)

    def _lock_holder(self, directory: Path) -> ProcessIdentity | None:
        """Return the supervisor recorded in the lock file, which it writes before `runner.json`."""
        try:
            holder = parse_lock(read(str(directory / "lock")), self._host.boot_id)
        except OSError:
            return None
        return holder if holder is not None and _runs(holder, directory) else None

    def _reap(self) -> None:
        now = time.monotonic()
        for directory, started in list(self._started.items()):
            if started.process.poll() is not None and now - started.at > GRACE_SECONDS:
                del self._started[directory]

    # Observing

    def observe(self, attempts: Sequence[AttemptRef]) -> Mapping[str, Observation]:
        with self._lock:
            self._reap()
            get_survey = cache(survey)  # at most once, and only if a record is missing
            return {attempt.uid: self._observe_one(attempt.directory, get_survey) for attempt in attempts}

    def _observe_one(self, directory: Path, get_survey: Callable[[], Survey]) -> Observation:
        try:
            seen = self._observe(directory, get_survey)
        except OSError as error:
            seen = Observation(Phase.UNKNOWN, self._node, reason=f"{directory} cannot be read: {error.strerror}")
        except Exception as error:
            # One attempt's damaged files must not prevent observing the others.
            if directory not in self._seen_at:
                logger.exception("an attempt cannot be observed", extra={"directory": str(directory)})
            seen = Observation(Phase.UNKNOWN, self._node, reason=f"{directory} cannot be parsed: {error}")
        now = time.monotonic()
        if seen.phase is not Phase.UNKNOWN:
            self._seen_at.pop(directory, None)
            return seen
        return replace(seen, age=now - self._seen_at.setdefault(directory, now))

    def _observe(self, directory: Path, get_survey: Callable[[], Survey]) -> Observation:
        ended = self._outcome(directory, get_survey)
        if ended is not None:
            return ended
        runner = self._runner(directory)
        hidden = None if runner is None else self._observe_hidden(directory, runner)
        if hidden is not None:
            return hidden
        if runner is not None and self._is_live(directory, runner):
            self._pipes.hold(directory)
            return self._observe_alive(directory, self._observe_running(runner))
        # The attempt may have ended between the two checks.
        return self._outcome(directory, get_survey) or self._observe_unsupervised(directory, runner, get_survey)

    def _observe_hidden(self, directory: Path, runner: Runner) -> Observation | None:
        """Return an observation if the attempt's processes are not visible from here and may live, else None."""
        why = self._host.why_hidden(runner)
        if why is None:
            return None
        if runner.boot_id == self._host.boot_id:
            # Locks and pipes belong to the kernel and are shared by all its pid namespaces.
            if is_locked(directory / "lock"):
                seen = replace(self._observe_running(runner), process=None, supervisor=None, reason=why)
                if self._heartbeats.measure(directory, None) < self._frozen_seconds:
                    return seen
                return replace(seen, phase=Phase.UNKNOWN, reason=f"{why}, and its supervisor shows no sign of life")
            output = directory / ("output" if os.path.lexists(directory / "output") else "output.fifo")
            if not is_held_open(output):
                return None
        return Observation(Phase.UNKNOWN, self._node, stop_rung=runner.stop_rung, reason=f"{why}: it may live")

    def _observe_alive(self, directory: Path, seen: Observation) -> Observation:
        """Return the observation of an attempt with a living supervisor. Kill the supervisor if it is frozen."""
        supervisor = seen.supervisor
        if supervisor is None or self._heartbeats.measure(directory, supervisor) < self._frozen_seconds:
            return seen
        stat = read_stat(supervisor.pid)
        if stat is not None and stat.start == supervisor.start:
            logger.warning("a supervisor is frozen; it is killed and replaced", extra={"directory": str(directory)})
            stat.send(signal.SIGKILL)
        # The next supervisor cannot take the lock until this one has died. If the kernel delays that, a later call
        # retries.
        self._heartbeats.forget(directory)
        return replace(seen, reason="its supervisor is frozen, and is replaced")

    def _observe_running(self, runner: Runner) -> Observation:
        since = runner.started_steady if runner.boot_id == self._host.boot_id else None
        return Observation(
            phase=Phase.RUNNING if runner.stop_rung is None else Phase.STOPPING,
            node=self._node,
            process=runner.trainer,
            supervisor=runner.supervisor,
            stop_rung=runner.stop_rung,
            log_start=runner.log_offset,
            log_lost_bytes=runner.log_lost_bytes,
            seconds=None if since is None else max(0.0, steady_seconds() - since),
        )

    def _observe_unsupervised(
        self, directory: Path, runner: Runner | None, get_survey: Callable[[], Survey]
    ) -> Observation:
        holder = self._lock_holder(directory)
        if holder is not None:
            seen = Observation(Phase.RUNNING, self._node, supervisor=holder, reason="its supervisor is starting")
            return self._observe_alive(directory, seen)
        started = self._started.get(directory)
        is_young = started is not None and time.monotonic() - started.at < GRACE_SECONDS
        if started is not None and is_young and started.process.poll() in (None, _LOCK_HELD):
            return Observation(Phase.RUNNING, self._node, reason="its supervisor is starting")
        ended = None if started is None else self._outcome(directory, get_survey)
        if ended is not None:
            return ended
        holder = get_survey().supervisors.get(directory.absolute()) if runner is None else None
        if holder is not None:
            reason = "its directory was removed; its supervisor is recreating it"
            return self._observe_alive(
                directory, Observation(Phase.RUNNING, self._node, supervisor=holder, reason=reason)
            )
        return Observation(Phase.ABSENT, self._node, reason=self._why_absent(directory, runner))

    def _why_absent(self, directory: Path, runner: Runner | None) -> str:
        if runner is not None and runner.boot_id not in (None, self._host.boot_id):
            return "the machine was restarted"
        if runner is not None:
            return f"its supervisor has died: see {directory / 'supervisor.log'}"
        if os.path.lexists(directory / "runner.json"):
            return "runner.json cannot be read: it is damaged"
        return "it was never started"

    def _outcome(self, directory: Path, get_survey: Callable[[], Survey]) -> Observation | None:
        known = self._ended.get(directory)
        if known is not None:
            return known
        try:
            # A living supervisor overwrites this file at the end; a dead one has already written it.
            if not has_outcome(str(directory)) or self._has_supervisor(directory) or not has_ended(str(directory)):
                return None
            # The trainer can damage the record and the lock, but not the kernel's list of processes.
            if (found := get_survey().supervisors.get(directory.absolute())) is not None and _runs(found, directory):
                return None
            outcome = read_outcome(str(directory / "exit.json"))
        except OSError as error:
            check_absent(error)
            return None
        # Files that the supervisor could not remove because of disk errors. They may contain secrets.
        left = AttemptDirectory(str(directory))
        left.remove_secrets()
        left.remove_leftovers()
        observation = Observation(
            Phase.ENDED,
            self._node,
            stop_rung=outcome.stop_rung,
            outcome=outcome,
            log_start=outcome.log_offset,
            log_lost_bytes=outcome.log_lost_bytes,
        )
        if len(self._ended) >= _CACHED_OUTCOMES:
            self._ended.clear()
        self._ended[directory] = observation
        self._read.pop(directory, None)
        self._heartbeats.forget(directory)
        self._pipes.let_go(directory)
        return observation

    def _runner(self, directory: Path) -> Runner | None:
        path = str(directory / "runner.json")
        try:
            stat = status_of(path)
            version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            known = self._read.get(directory)
            if known is None or known.version != version:
                known = self._read[directory] = _Read(version, parse_runner(read(path)))
        except OSError as error:
            check_absent(error)
            return None
        return known.runner

    # Stopping

    def stop(self, ref: AttemptRef, order: StopOrder) -> None:
        """Send a stop order to the supervisor.

        Raises OSError.
        """
        if self._has_ended(ref.directory):
            return
        with self._lock:
            runner = self._runner(ref.directory)
            is_there = runner is not None and self._is_live(ref.directory, runner)
        supervisor = runner.supervisor if runner is not None and is_there else None
        give_order(ref.directory, order_of(order), supervisor)

    def prepare_leave(self, ref: AttemptRef, order: StopOrder) -> None:
        """Do nothing: on one machine only this service sends SIGTERM."""

    # Details

    def used_gpus(self, ref: AttemptRef) -> Collection[str] | None:
        at_work = self._pids_by_gpu()
        if at_work is None:
            return None
        own = set(self.survivors(ref))
        return frozenset(uuid for uuid, pids in at_work.items() if not own.isdisjoint(pids))

    def free_port(self, node: str, held: Collection[int]) -> int:
        return pick_port(held)

    def why_queued(self, ref: AttemptRef) -> None:
        return None

    def living(self, root: Path, locate: Locate, uids: Callable[[], Iterable[str]]) -> Sequence[LivingAttempt]:
        return list_living(survey(), root, locate, uids)

    def survivors(self, ref: AttemptRef) -> Sequence[int]:
        with self._lock:
            runner = self._runner(ref.directory)
        return list_leftovers(ref.uid, ref.directory, None if runner is None else runner.cgroup)


def _runs(supervisor: ProcessIdentity, directory: Path) -> bool:
    """Return whether this is a live supervisor of this attempt. A trainer can write any pid into its record."""
    return is_alive(supervisor.pid, supervisor.start) and supervises(supervisor.pid, directory)


def list_leftovers(uid: str, directory: Path, cgroup: str | None) -> list[int]:
    """Return the pids of live processes with its marker, in its supervisor's list, or in its control group."""
    listed = {pid for pid, start in read_seen_processes(str(directory)) if is_alive(pid, start)}
    group = find_cgroup(cgroup, uid)
    return sorted({*marked_processes(uid), *listed, *(group.pids() if group is not None else ())})
