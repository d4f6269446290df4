"""The one tick that starts, watches, stops, adopts and ends attempts: observe, match by uid, apply what is wanted."""

import errno
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from api.db.leadership import LeadershipLost
from api.domain.lease import LEASE_SECONDS
from api.domain.reason import Reason
from api.domain.training import (
    Attempt,
    AttemptStatus,
    StopRung,
    StopState,
    TaskStatus,
    TaskSummary,
)
from api.errors import Conflict, DatabaseUnavailable, TaskNotFound
from api.executors.executor import AttemptRef, EngineFull, EngineSilent, Executor, Observation, Phase, StopOrder
from api.trainers.trainer import Trainer
from api.training.attempt_store import AttemptStore
from api.training.attempts.checks import AttemptChecks
from api.training.attempts.ending import AttemptEnding
from api.training.attempts.outcomes import STOPPED_BEFORE_START, AttemptVerdict, could_not_start
from api.training.attempts.portions import Portions
from api.training.attempts.progress import UNKNOWN, out_of_sight
from api.training.attempts.progress_notes import ProgressNotes
from api.training.attempts.starter import AttemptStarter, CannotStart
from api.training.attempts.stop_wishes import StopWishes, Wish
from api.training.attempts.updates import TrainingNews
from api.training.attempts.watch import SAVE_SECONDS, AttemptWatch
from api.training.store import TaskStore
from api.util.clock import Clock
from api.util.foreign_files import TROUBLE
from api.util.measures import TASK_ID, attempt_starts, starts
from api.util.tracing import spanning

logger = logging.getLogger(__name__)

#: Seconds between two renewals of the leases.
RENEW_SECONDS = 15.0

#: The most notes of watches in a second: each waits twice for the disk. Of many attempts each is noted more seldom.
SAVES_A_SECOND = 50.0

#: Seconds for which an attempt cannot be seen before its task says so.
UNKNOWN_SECONDS = 5.0

#: Errors that do not mean that the notes on an attempt are damaged.
_HIDING = TROUBLE | {errno.EACCES, errno.EPERM}

#: How many times in a row a supervisor is started for one attempt before that counts as impossible.
SUBMISSIONS = 5


@dataclass(frozen=True, slots=True)
class StopTimes:
    """How many seconds each rung of a stop is given."""

    checkpoint: float = 300.0
    terminate: float = 30.0


class Reconciler:
    """The attempts of this machine and storage. One thread calls `tick`."""

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
        wishes: StopWishes,
        heed_place: Callable[[Attempt, str, Sequence[int]], None] = lambda attempt, node, indices: None,
    ) -> None:
        """`node` None looks after the attempts of all machines. `heed_place` takes up where an engine runs one."""
        self._heed_place = heed_place
        self._wishes = wishes
        self._tasks = tasks
        self._attempts = attempts
        self._starter = starter
        self._executor = executor
        self._trainers = trainers
        self._checks = checks
        self._ending = ending
        self._clock = clock
        self._node = node
        self._root = root
        self._stop_times = stop_times
        self._news = news
        self._watches: dict[str, AttemptWatch] = {}
        self._submissions: dict[str, int] = {}
        self._refusals: dict[str, OSError] = {}  #: why the latest submission failed, by the attempt's uid
        self._troubled: set[str] = set()
        self._renewed_at = float("-inf")
        self._save_seconds = SAVE_SECONDS
        self.has_work = False  #: whether the last tick left anything that the next one has to look after
        self._portions, self._progress_notes = Portions(clock), ProgressNotes(attempts, clock)

    def tick(self) -> bool:
        """Makes one round, of many attempts over as many as there is time for; True when a GPU, port or cache became
        free, so that others may have it.
        """
        # First of all: the end of one that was stopped is no failure.
        self._wishes.note(self._note_wish)
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
                # One attempt in trouble must not keep the others from being watched.
                self._note_trouble(attempt, error)
        self._progress_notes.note(self._watches, self._say_trouble)
        if freed:
            # What has just ended drains from now on.
            draining = self._attempts.draining(self._node, self._root)
        self.has_work = bool(open_attempts or draining)
        return self._ending.free_drained(draining) or freed

    @staticmethod
    def _changes(task: TaskSummary, seen: Observation, watch: AttemptWatch | None) -> bool:
        """Whether a look at it is likely to wait for the disk; one that an engine has is merely asked about."""
        if seen.phase is Phase.QUEUED:
            return False
        is_followed = watch is not None and seen.phase in (Phase.RUNNING, Phase.STOPPING)
        is_to_be_stopped = task.status is TaskStatus.STOPPING and (watch is None or watch.ordered is None)
        return is_to_be_stopped or not is_followed

    def _note_trouble(self, attempt: Attempt, error: Exception) -> None:
        """Logs the error once, and begins the watch anew unless the disk is in trouble: the notes on the attempt may be
        damaged.
        """
        if isinstance(error, OSError) and error.errno in _HIDING:
            if attempt.uid not in self._troubled:
                logger.warning("attempt cannot be read", extra={"attempt": attempt.uid, "problem": str(error)})
            self._troubled.add(attempt.uid)
            return
        if not self._say_trouble(attempt):
            return
        watch = self._watches.pop(attempt.uid, None)
        if watch is not None:
            watch.forget()

    def stand_down(self) -> None:
        """Forgets all watches, as another server goes on with the attempts."""
        self._watches.clear()
        self._submissions.clear()
        self._refusals.clear()
        self._renewed_at = float("-inf")
        self.has_work = False

    def _say_trouble(self, attempt: Attempt) -> bool:
        if attempt.uid in self._troubled:
            return False
        self._troubled.add(attempt.uid)
        logger.exception("attempt cannot be reconciled", extra={"attempt": attempt.uid})
        return True

    def find_watch(self, task_id: str) -> AttemptWatch | None:
        """The watch over the attempt of a task that runs here."""
        return next((watch for watch in list(self._watches.values()) if watch.attempt.task_id == task_id), None)

    def stop_now(self, watch: AttemptWatch, stop: StopState) -> None:
        """Passes a stop on without a look into the database. Raises OSError."""
        order = self._order(stop, watch)
        self._executor.stop(watch.ref, order)
        watch.ordered = order

    def _note_wish(self, task_id: str, wish: Wish) -> None:
        # One that has finished needs no stop any more.
        with suppress(Conflict, TaskNotFound):
            self._tasks.request_stop(task_id, wish.stop, self._clock.now(), wish.message)

    def get_watch(self, attempt_uid: str) -> AttemptWatch | None:
        """The watch over an attempt that runs here."""
        return self._watches.get(attempt_uid)

    def _renew(self, open_attempts: Sequence[Attempt]) -> None:
        now = self._clock.monotonic()
        if now - self._renewed_at >= RENEW_SECONDS:
            wall = self._clock.now()
            self._attempts.renew(open_attempts, wall + timedelta(seconds=LEASE_SECONDS), wall)
            self._renewed_at = now

    def _reconcile(self, task: TaskSummary, attempt: Attempt, ref: AttemptRef, seen: Observation) -> bool:
        """Brings one attempt nearer to what is wanted; True when it has ended."""
        if seen.phase is Phase.UNKNOWN:
            self._note_unknown(task, attempt, seen)
            return False
        if seen.phase is Phase.ABSENT:
            return self._start(task, attempt, ref)
        if seen.phase is Phase.QUEUED:
            if task.status is TaskStatus.STOPPING:
                self._executor.stop(ref, StopOrder(None, 0.0, self._stop_times.terminate))
            return False
        return self._follow(task, attempt, ref, seen)

    def _follow(self, task: TaskSummary, attempt: Attempt, ref: AttemptRef, seen: Observation) -> bool:
        """Looks at one that runs or has ended; True when it has ended."""
        if seen.gpu_indices is not None:
            self._heed_place(attempt, seen.node, seen.gpu_indices)
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
            self._checks.check(task, watch)
            self._prepare_leave(watch)
        finally:
            # Whatever its files look like, it can be stopped.
            if task.status is TaskStatus.STOPPING and task.stop is not None:
                self._stop(task, task.stop, watch, seen)
            elif seen.is_called_away and watch.ordered is None:
                self._save_in_time(watch)
        return False

    def _prepare_leave(self, watch: AttemptWatch) -> None:
        """Tell the supervisor how to save, for a time at which an engine ends its job and no service is there."""
        order = self._leave_order(watch)
        if order.signal_file is not None and watch.leave_order != order:
            self._executor.prepare_leave(watch.ref, order)
            watch.leave_order = order

    def _leave_order(self, watch: AttemptWatch) -> StopOrder:
        return StopOrder(watch.signal_file, self._stop_times.checkpoint, self._stop_times.terminate)

    def _save_in_time(self, watch: AttemptWatch) -> None:
        """Has one whose GPUs an engine wants back save and quit, so that its next try goes on from there."""
        order = self._leave_order(watch)
        if order.signal_file is not None:
            self._executor.stop(watch.ref, order)
            watch.ordered = order

    def _note_unknown(self, task: TaskSummary, attempt: Attempt, seen: Observation) -> None:
        """Warns that an attempt cannot be seen. It keeps its GPUs, as it may live."""
        watch = self._watches.get(attempt.uid)
        if watch is not None and seen.age >= UNKNOWN_SECONDS:
            watch.heed_stall(True)
        if seen.age >= UNKNOWN_SECONDS and not (task.warning or "").startswith(UNKNOWN):
            logger.warning("attempt cannot be seen", extra={"attempt": attempt.uid, "reason": seen.reason})
            warning = out_of_sight(seen.reason or "")
            self._tasks.set_warning(task.task_id, attempt.uid, warning, self._clock.now())

    def _start(self, task: TaskSummary, attempt: Attempt, ref: AttemptRef) -> bool:
        """Starts a supervisor for an attempt without one: the first, or one that takes over from a lost one."""
        with spanning("start attempt", {"diffusion_pipe.task_id": task.task_id, "diffusion_pipe.attempt": attempt.uid}):
            return self._start_supervisor(task, attempt, ref)

    def _start_supervisor(self, task: TaskSummary, attempt: Attempt, ref: AttemptRef) -> bool:
        is_new = attempt.status is AttemptStatus.CLAIMED
        if is_new and task.status is TaskStatus.STOPPING:
            return self._ending.give_up(task, attempt, AttemptVerdict(TaskStatus.STOPPED, STOPPED_BEFORE_START))
        tries = self._submissions[attempt.uid] = self._submissions.get(attempt.uid, 0) + 1
        try:
            if tries > SUBMISSIONS and not self._executor.survivors(ref):
                never = Reason.of(
                    "its supervisor was started {times} times in a row and is not there",
                    "supervisor_never_there",
                    times=SUBMISSIONS,
                )
                raise self._refusals.get(attempt.uid) or CannotStart(never)
            full = self._tasks.get(task.task_id)
            submission = self._starter.prepare(full, attempt, self._trainers[full.trainer], is_new)
            # One that runs already is submitted to be taken over.
            if attempt.status is AttemptStatus.RUNNING or self._attempts.note_submitted(attempt):
                self._starter.submit(submission)
        except EngineFull:
            return self._wait_for_room(task, attempt)
        except (CannotStart, OSError) as error:
            if isinstance(error, EngineSilent) and task.status is not TaskStatus.STOPPING:
                self._wait_for_engine(task, attempt, error)
                return False
            if isinstance(error, OSError):
                self._refusals[attempt.uid] = error
            is_passing = isinstance(error, OSError) and tries <= SUBMISSIONS
            if is_passing or self._executor.survivors(ref):
                # A disk that refuses once says little; and for as long as it lives its GPUs are in use.
                return False
            self._forget(attempt)
            return self._ending.give_up(task, attempt, could_not_start(error))
        return False

    def _wait_for_room(self, task: TaskSummary, attempt: Attempt) -> bool:
        """Tries again for as long as it takes, and the executor tells why; True when it is stopped meanwhile."""
        self._submissions.pop(attempt.uid, None)
        if task.status is not TaskStatus.STOPPING:
            return False
        self._forget(attempt)
        return self._ending.give_up(task, attempt, AttemptVerdict(TaskStatus.STOPPED, STOPPED_BEFORE_START))

    def _wait_for_engine(self, task: TaskSummary, attempt: Attempt, error: EngineSilent) -> None:
        """Tries again for as long as it takes: an engine that is away says nothing against the attempt."""
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
        watch.heed_seconds(seen.seconds if seen.outcome is None else seen.outcome.seconds)
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
        # A softer way is never gone back to: the signal file stays offered even while the trainer looks away.
        is_harder = watch.ordered is None or (watch.ordered.checkpoint_seconds > 0 and stop.force)
        if is_harder:
            self._executor.stop(watch.ref, order)
            watch.ordered = order
        self._note_rung(task, watch, seen.stop_rung)

    def _note_rung(self, task: TaskSummary, watch: AttemptWatch, rung: StopRung | None) -> None:
        if task.stop is not None and rung is not None and rung is not task.stop.rung:
            self._tasks.note_rung(task, replace(task.stop, rung=rung), watch.attempt.uid, self._clock.now())

    def _order(self, stop: StopState, watch: AttemptWatch) -> StopOrder:
        signal_file = None if stop.force else watch.signal_file
        seconds = self._stop_times.checkpoint if stop.timeout_seconds is None else stop.timeout_seconds
        return StopOrder(
            signal_file=signal_file,
            checkpoint_seconds=0.0 if signal_file is None else seconds,
            terminate_seconds=self._stop_times.terminate,
        )

    def _forget(self, attempt: Attempt) -> None:
        self._watches.pop(attempt.uid, None)
        self._submissions.pop(attempt.uid, None)
        self._refusals.pop(attempt.uid, None)
