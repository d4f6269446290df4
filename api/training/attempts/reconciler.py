"""The control loop that starts, observes, stops, adopts and ends attempts.

It matches observations with the database by uid, and corrects the differences.
"""

import errno
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from api.db.leadership import LeadershipLost
from api.domain.lease import LEASE_SECONDS
from api.domain.reason import Reason
from api.domain.task import TaskType
from api.domain.training import (
    Attempt,
    AttemptStatus,
    StopRung,
    StopState,
    TaskStatus,
    TaskSummary,
    TrainingTask,
)
from api.errors import Conflict, DatabaseUnavailable, TaskNotFound
from api.executors.executor import AttemptRef, EngineFull, EngineUnavailable, Executor, Observation, Phase, StopOrder
from api.trainers.trainer import Trainer
from api.training.attempt_store import AttemptStore
from api.training.attempts.cannot_start import CannotStart
from api.training.attempts.checks import AttemptChecks
from api.training.attempts.ending import AttemptEnding
from api.training.attempts.outcomes import STOPPED_BEFORE_START, AttemptVerdict, could_not_start
from api.training.attempts.pending_stops import PendingStop, PendingStops
from api.training.attempts.progress import is_unobserved, unobserved_warning
from api.training.attempts.starter import AttemptStarter
from api.training.attempts.updates import TrainingNews
from api.training.attempts.watch import SAVE_SECONDS, AttemptWatch
from api.training.resume_points import find_resume_point, plan_attempt
from api.training.store import TaskStore
from api.util.clock import Clock
from api.util.foreign_files import TROUBLE
from api.util.measures import TASK_ID, attempt_starts, spanning, starts

logger = logging.getLogger(__name__)

#: Interval of lease renewals in seconds.
RENEW_SECONDS = 15.0

#: Limit of watch notes per second, since each waits twice for the disk. With many attempts each is written less often.
SAVES_A_SECOND = 50.0

#: Seconds after which an unobservable attempt is reported in its task.
UNKNOWN_SECONDS = 5.0

#: Errors that do not mean that the notes on an attempt are damaged.
_HIDING = TROUBLE | {errno.EACCES, errno.EPERM}

#: Limit of consecutive supervisor starts for one attempt.
SUBMISSIONS = 5


#: Seconds after which a round takes no more attempts, so that the whole round ends within a second. Attempts that are
#: only followed come first. Attempts that start, stop, end or are taken over wait for the disk and come second, with a
#: guaranteed minimum of seconds.
ROUND_SECONDS = 0.35
CHANGING_SECONDS = 0.175


#: Interval in seconds, and limit of attempts per round. Four thousand take a third of a second.
PROGRESS_SECONDS = 2.0
MOST_OF_A_ROUND = 1_000


class ProgressNotes:
    """Stores the progress of all watched attempts, in several rounds if there are many."""

    def __init__(self, attempts: AttemptStore, clock: Clock) -> None:
        self._attempts = attempts
        self._clock = clock
        self._noted_at = float("-inf")  # monotonic
        self._left: list[str] = []  # uids of attempts still to be stored in this interval

    def note(self, watches: Mapping[str, AttemptWatch], report_error: Callable[[Attempt], object]) -> None:
        """Store the progress of the next attempts. `report_error` is called for an attempt that raises.

        Raise DatabaseUnavailable.
        """
        now = self._clock.monotonic()
        if not self._left:
            if now - self._noted_at < PROGRESS_SECONDS:
                return
            self._noted_at, self._left = now, list(watches)
        turn, self._left = self._left[:MOST_OF_A_ROUND], self._left[MOST_OF_A_ROUND:]
        latest = {}
        for watch in filter(None, map(watches.get, turn)):
            try:
                latest[watch.attempt.task_id] = watch.show()
            except Exception:
                report_error(watch.attempt)
        self._attempts.save_progress(latest, self._clock.now())


class Portions:
    """Divides attempts into rounds, so that a thousand simultaneous changes delay neither the others nor the queue.

    A round handles at least one of each kind. No attempt has a second turn before all had their first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._round = 0
        # the latest round of each attempt, by uid; empty while no round leaves any
        self._handled_in: dict[str, int] = {}

    def choose(
        self,
        attempts: Sequence[Attempt],
        changes: Callable[[Attempt], bool],
        is_urgent: Callable[[Attempt], bool],
    ) -> Iterator[Attempt]:
        """Yield the attempts of this round in order. The caller's time between two yields counts.

        `changes` returns the kind. Of attempts that wait equally long, those with `is_urgent` come first.
        """
        self._round += 1
        kinds: tuple[list[Attempt], list[Attempt]] = ([], [])
        for attempt in attempts:
            kinds[changes(attempt)].append(attempt)
        left = list[Attempt]()
        round_ends = self._clock.monotonic() + ROUND_SECONDS
        for kind, least in zip(kinds, (0.0, CHANGING_SECONDS), strict=True):
            kind.sort(key=lambda attempt: (self._handled_in.get(attempt.uid, 0), not is_urgent(attempt)))
            ends = max(round_ends, self._clock.monotonic() + least)
            for index, attempt in enumerate(kind):
                if index and self._clock.monotonic() >= ends:
                    left += kind[index:]
                    break
                yield attempt
        self._remember(attempts, left)

    def _remember(self, attempts: Sequence[Attempt], left: Sequence[Attempt]) -> None:
        if not left:
            self._handled_in.clear()
            return
        waiting = {attempt.uid for attempt in left}
        before = self._handled_in
        self._handled_in = {
            attempt.uid: before.get(attempt.uid, 0) if attempt.uid in waiting else self._round for attempt in attempts
        }


@dataclass(frozen=True, slots=True)
class StopTimes:
    """Seconds that each step of a stop may take."""

    checkpoint: float = 300.0
    terminate: float = 30.0


class Reconciler:
    """Reconciles the attempts of this machine and storage. One thread calls `tick`."""

    def __init__(
        self,
        tasks: TaskStore,
        attempts: AttemptStore,
        starter: AttemptStarter,
        executor: Executor,
        trainers: Mapping[str, Trainer],
        checks: AttemptChecks,
        ending: AttemptEnding,
        clock: Clock,
        node: str | None,
        root: Path,
        stop_times: StopTimes,
        news: TrainingNews,
        pending_stops: PendingStops,
        note_location: Callable[[Attempt, str, Sequence[int]], None] = lambda attempt, node, indices: None,
    ) -> None:
        """Create the reconciler.

        With `node` None it handles attempts of all nodes. `note_location` records where a cluster runs an attempt.
        """
        self._note_location = note_location
        self._pending_stops = pending_stops
        self._tasks = tasks
        self._attempts = attempts
        self._starter = starter
        self._executor = executor
        self._trainers = trainers
        self.checks = checks
        self._ending = ending
        self._clock = clock
        self._node = node
        self._root = root
        self.stop_times = stop_times  #: may change at run time
        self._news = news
        self._watches: dict[str, AttemptWatch] = {}
        self._submissions: dict[str, int] = {}
        self._refusals: dict[str, OSError] = {}  #: error of the latest submission, by attempt uid
        self._troubled: set[str] = set()
        self._renewed_at = float("-inf")
        self._save_seconds = SAVE_SECONDS
        self.has_work = False  #: whether the last tick left work for the next one
        self._portions, self._progress_notes = Portions(clock), ProgressNotes(attempts, clock)

    def tick(self) -> bool:
        """Make one round over as many attempts as time permits. Return whether a GPU, port or cache became free."""
        # Before anything else, so that the end of a stopped attempt does not count as a failure.
        self._pending_stops.note(self._note_stop)
        open_attempts, tasks, draining = self._attempts.round(self._node, self._root)
        self._renew(open_attempts)
        self._save_seconds = max(SAVE_SECONDS, len(open_attempts) / SAVES_A_SECOND)
        refs = {attempt.uid: self._starter.ref(attempt) for attempt in open_attempts}
        seen = self._executor.observe(list(refs.values()))
        freed = False
        for attempt in self._portions.choose(
            open_attempts,
            lambda attempt: self._changes(tasks[attempt.task_id], seen[attempt.uid], self._watches.get(attempt.uid)),
            lambda attempt: tasks[attempt.task_id].status is TaskStatus.STOPPING,
        ):
            try:
                freed |= self._reconcile(tasks[attempt.task_id], attempt, refs[attempt.uid], seen[attempt.uid])
                self._troubled.discard(attempt.uid)
            except (DatabaseUnavailable, LeadershipLost):
                raise
            except Exception as error:
                # An error with one attempt must not affect the others.
                self._note_trouble(attempt, error)
        self._progress_notes.note(self._watches, self._log_error)
        if freed:
            # Attempts that ended in this round are draining now.
            draining = self._attempts.draining(self._node, self._root)
        self.has_work = bool(open_attempts or draining)
        return self._ending.free_drained(draining) or freed

    @staticmethod
    def _changes(task: TaskSummary, seen: Observation, watch: AttemptWatch | None) -> bool:
        """Return whether handling it probably waits for the disk. Jobs queued in a cluster only need a query."""
        if seen.phase is Phase.QUEUED:
            return False
        is_followed = watch is not None and seen.phase in (Phase.RUNNING, Phase.STOPPING)
        is_to_be_stopped = task.status is TaskStatus.STOPPING and (watch is None or watch.ordered is None)
        return is_to_be_stopped or not is_followed

    def _note_trouble(self, attempt: Attempt, error: Exception) -> None:
        """Log the error once. Unless the disk fails, restart the watch, because the attempt's notes may be damaged."""
        if isinstance(error, OSError) and error.errno in _HIDING:
            if attempt.uid not in self._troubled:
                logger.warning("cannot read attempt", extra={"attempt": attempt.uid, "problem": str(error)})
            self._troubled.add(attempt.uid)
            return
        if not self._log_error(attempt):
            return
        watch = self._watches.pop(attempt.uid, None)
        if watch is not None:
            watch.forget()

    def stand_down(self) -> None:
        """Forget all watches, because another server takes over."""
        self._watches.clear()
        self._submissions.clear()
        self._refusals.clear()
        self._renewed_at = float("-inf")
        self.has_work = False

    def _log_error(self, attempt: Attempt) -> bool:
        if attempt.uid in self._troubled:
            return False
        self._troubled.add(attempt.uid)
        logger.exception("cannot reconcile attempt", extra={"attempt": attempt.uid})
        return True

    def find_watch(self, task_id: str) -> AttemptWatch | None:
        """Return the watch of a task's attempt that runs here, or None."""
        return next((watch for watch in list(self._watches.values()) if watch.attempt.task_id == task_id), None)

    def stop_now(self, watch: AttemptWatch, stop: StopState) -> None:
        """Pass on a stop without querying the database. Raise OSError."""
        order = self._order(stop, watch)
        self._executor.stop(watch.ref, order)
        watch.ordered = order

    def _note_stop(self, task_id: str, pending: PendingStop) -> None:
        # A finished task needs no stop.
        with suppress(Conflict, TaskNotFound):
            self._tasks.request_stop(task_id, pending.stop, self._clock.now(), pending.message)

    def get_watch(self, attempt_uid: str) -> AttemptWatch | None:
        """Return the watch of an attempt that runs here, or None."""
        return self._watches.get(attempt_uid)

    def _renew(self, open_attempts: Sequence[Attempt]) -> None:
        now = self._clock.monotonic()
        if now - self._renewed_at >= RENEW_SECONDS:
            wall = self._clock.now()
            self._attempts.renew(open_attempts, wall + timedelta(seconds=LEASE_SECONDS), wall)
            self._renewed_at = now

    def _reconcile(self, task: TaskSummary, attempt: Attempt, ref: AttemptRef, seen: Observation) -> bool:
        """Reconcile one attempt. Return whether it has ended."""
        if seen.phase is Phase.UNKNOWN:
            self._note_unknown(task, attempt, seen)
            return False
        if seen.phase is Phase.ABSENT:
            return self._start(task, attempt, ref)
        if seen.phase is Phase.QUEUED:
            if task.status is TaskStatus.STOPPING:
                self._executor.stop(ref, StopOrder(None, 0.0, self.stop_times.terminate))
            return False
        return self._follow(task, attempt, ref, seen)

    def _follow(self, task: TaskSummary, attempt: Attempt, ref: AttemptRef, seen: Observation) -> bool:
        """Handle an attempt that runs or has ended. Return whether it has ended."""
        if seen.gpu_indices is not None:
            self._note_location(attempt, seen.node, seen.gpu_indices)
        watch = self._watch_over(attempt, ref, seen)
        if seen.phase is Phase.ENDED and seen.outcome is not None:
            if seen.outcome.started_at is not None:
                self._note_running(task, attempt, seen)
            self._note_rung(task, watch, seen.outcome.stop_rung)
            is_over = self._ending.end(self._tasks.get_summary(task.task_id), watch, seen.outcome)
            if is_over:
                self._forget(attempt)
            return is_over
        self._submissions.pop(attempt.uid, None)
        self._refusals.pop(attempt.uid, None)
        if seen.process is not None:
            self._note_running(task, attempt, seen)
        try:
            watch.poll(self._save_seconds)
            self.checks.check(task, watch)
            self._prepare_leave(watch)
        finally:
            # It must be possible to stop it even if its files cannot be read.
            if task.status is TaskStatus.STOPPING and task.stop is not None:
                self._stop(task, task.stop, watch, seen)
            elif seen.must_leave and watch.ordered is None:
                self._save_before_leave(watch)
        return False

    def _prepare_leave(self, watch: AttemptWatch) -> None:
        """Prepare the supervisor for saving in case the cluster ends its job while no service runs."""
        order = self._leave_order(watch)
        if order.signal_file is not None and watch.leave_order != order:
            self._executor.prepare_leave(watch.ref, order)
            watch.leave_order = order

    def _leave_order(self, watch: AttemptWatch) -> StopOrder:
        return StopOrder(watch.signal_file, self.stop_times.checkpoint, self.stop_times.terminate)

    def _save_before_leave(self, watch: AttemptWatch) -> None:
        """Make an attempt whose GPUs the cluster wants back save and quit, so that the retry continues from there."""
        order = self._leave_order(watch)
        if order.signal_file is not None:
            self._executor.stop(watch.ref, order)
            watch.ordered = order

    def _note_unknown(self, task: TaskSummary, attempt: Attempt, seen: Observation) -> None:
        """Warn that an attempt cannot be observed. It keeps its GPUs, because it may be running."""
        watch = self._watches.get(attempt.uid)
        if watch is not None and seen.age >= UNKNOWN_SECONDS:
            watch.set_stalled(True)
        if seen.age >= UNKNOWN_SECONDS and not is_unobserved(task):
            logger.warning("cannot observe attempt", extra={"attempt": attempt.uid, "reason": seen.reason})
            warning = unobserved_warning(seen.reason or "")
            self._tasks.set_warning(task.task_id, attempt.uid, warning, self._clock.now())

    def _start(self, task: TaskSummary, attempt: Attempt, ref: AttemptRef) -> bool:
        """Start a supervisor for an attempt without one: its first, or a successor of a lost one."""
        with spanning("start attempt", {"diffusion_pipe.task_id": task.task_id, "diffusion_pipe.attempt": attempt.uid}):
            return self._start_supervisor(task, attempt, ref)

    def _start_supervisor(self, task: TaskSummary, attempt: Attempt, ref: AttemptRef) -> bool:
        is_new = attempt.status is AttemptStatus.CLAIMED
        if is_new and task.status is TaskStatus.STOPPING:
            return self._ending.abandon(task, attempt, AttemptVerdict(TaskStatus.STOPPED, STOPPED_BEFORE_START))
        tries = self._submissions[attempt.uid] = self._submissions.get(attempt.uid, 0) + 1
        try:
            if tries > SUBMISSIONS and not self._executor.survivors(ref):
                never = Reason.of(
                    "its supervisor was started {times} times in a row but is not running",
                    "supervisor_never_there",
                    times=SUBMISSIONS,
                )
                raise self._refusals.get(attempt.uid) or CannotStart(never)
            full = self._tasks.get(task.task_id)
            if is_new:
                full = self._plan_attempt(full, attempt)
            submission = self._starter.prepare(full, attempt, self._trainers[full.trainer], is_new)
            # A running attempt is submitted so that a supervisor takes it over.
            if attempt.status is AttemptStatus.RUNNING or self._attempts.note_submitted(attempt):
                self._starter.submit(submission)
        except EngineFull:
            return self._wait_for_slot(task, attempt)
        except (CannotStart, OSError) as error:
            if isinstance(error, EngineUnavailable) and task.status is not TaskStatus.STOPPING:
                self._wait_for_cluster(task, attempt, error)
                return False
            if isinstance(error, OSError):
                self._refusals[attempt.uid] = error
            is_temporary = isinstance(error, OSError) and tries <= SUBMISSIONS
            if is_temporary or self._executor.survivors(ref):
                # A single disk error may be temporary. While processes of the attempt run, its GPUs are in use.
                return False
            self._forget(attempt)
            return self._ending.abandon(task, attempt, could_not_start(error))
        return False

    def _plan_attempt(self, task: TrainingTask, attempt: Attempt) -> TrainingTask:
        """Store the plan of an attempt. A retry may begin elsewhere than the attempt before."""
        if task.kind is not TaskType.TRAINING:
            return task
        trainer, checkpoint = self._trainers[task.trainer], attempt.resumed_from
        point = find_resume_point(trainer, attempt.run_dir, checkpoint, task.resume)
        plan = plan_attempt(task.plan, checkpoint is not None, point)
        if plan == task.plan:
            return task
        self._tasks.set_plan(attempt, plan)
        return replace(task, plan=plan)

    def _wait_for_slot(self, task: TaskSummary, attempt: Attempt) -> bool:
        """Retry without limit; the executor reports the reason. Return whether it was stopped in the meantime."""
        self._submissions.pop(attempt.uid, None)
        if task.status is not TaskStatus.STOPPING:
            return False
        self._forget(attempt)
        return self._ending.abandon(task, attempt, AttemptVerdict(TaskStatus.STOPPED, STOPPED_BEFORE_START))

    def _wait_for_cluster(self, task: TaskSummary, attempt: Attempt, error: EngineUnavailable) -> None:
        """Retry without limit, because an unavailable cluster is not the attempt's fault."""
        self._submissions.pop(attempt.uid, None)
        seen = Observation(Phase.UNKNOWN, "", reason=error.strerror or str(error), age=UNKNOWN_SECONDS)
        self._note_unknown(task, attempt, seen)

    def _watch_over(self, attempt: Attempt, ref: AttemptRef, seen: Observation) -> AttemptWatch:
        watch = self._watches.get(attempt.uid)
        if watch is None:
            task = self._tasks.get(attempt.task_id)
            trainer = self._trainers[task.trainer]
            watch = AttemptWatch(task, attempt, ref, trainer, self._executor, self._clock, self._news)
            self._watches[attempt.uid] = watch
        if watch.log_start is None:
            watch.log_start = seen.log_start
        watch.set_training_seconds(seen.seconds if seen.outcome is None else seen.outcome.seconds)
        return watch

    def _note_running(self, task: TaskSummary, attempt: Attempt, seen: Observation) -> None:
        if attempt.status in (AttemptStatus.CLAIMED, AttemptStatus.SUBMITTED):
            if attempt.status is AttemptStatus.CLAIMED:
                self._attempts.note_submitted(attempt)
            now = self._clock.now()
            self._attempts.note_running(attempt, seen.process, now)
            kind, found_by = (task.kind,), (TASK_ID, task.task_id)
            attempt_starts.observe(max(0.0, (now - attempt.created_at).total_seconds()), kind, found_by)
            if task.started_at is None:
                starts.observe(max(0.0, (now - task.created_at).total_seconds()), kind, found_by)

    def _stop(self, task: TaskSummary, stop: StopState, watch: AttemptWatch, seen: Observation) -> None:
        order = self._order(stop, watch)
        # A stop never becomes softer. The signal file stays in the order even while the trainer does not check for it.
        is_harder = watch.ordered is None or (watch.ordered.checkpoint_seconds > 0 and stop.force)
        if is_harder:
            self._executor.stop(watch.ref, order)
            watch.ordered = order
        self._note_rung(task, watch, seen.stop_rung)

    def _note_rung(self, task: TaskSummary, watch: AttemptWatch, rung: StopRung | None) -> None:
        if task.stop is not None and rung is not None and rung is not task.stop.rung:
            self._tasks.record_stop_step(task, replace(task.stop, rung=rung), watch.attempt.uid, self._clock.now())

    def _order(self, stop: StopState, watch: AttemptWatch) -> StopOrder:
        signal_file = None if stop.force else watch.signal_file
        seconds = self.stop_times.checkpoint if stop.timeout_seconds is None else stop.timeout_seconds
        return StopOrder(
            signal_file=signal_file,
            checkpoint_seconds=0.0 if signal_file is None else seconds,
            terminate_seconds=self.stop_times.terminate,
        )

    def _forget(self, attempt: Attempt) -> None:
        self._watches.pop(attempt.uid, None)
        self._submissions.pop(attempt.uid, None)
        self._refusals.pop(attempt.uid, None)
