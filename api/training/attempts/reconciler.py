"""The control loop that starts, observes, stops, adopts and ends attempts.

It matches observations with the database by uid, and corrects the differences.
"""

import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from api.db.leadership import LeadershipLost
from api.domain.machines.lease import LEASE_SECONDS
from api.domain.tasks.training import Attempt, TaskStatus, TaskSummary
from api.errors import DatabaseUnavailable
from api.executors.executor import AttemptRef, Observation, Phase
from api.training.attempts.draining import GPUDraining
from api.training.attempts.follower import AttemptFollower
from api.training.attempts.starter import AttemptStarter
from api.training.attempts.stop_delivery import AttemptStopping
from api.training.attempts.watch.watch import SAVE_SECONDS, AttemptWatch
from api.training.attempts.watch.watches import Watches
from api.training.records.attempt_store import AttemptStore, ObservedAttempts
from api.util.clock import Clock
from api.util.files.foreign_files import TROUBLE

logger = logging.getLogger(__name__)

#: Interval of lease renewals in seconds.
RENEW_SECONDS = 15.0

#: Limit of watch notes per second, since each waits twice for the disk. With many attempts each is written less often.
SAVES_A_SECOND = 50.0

#: Errors that do not mean that the notes on an attempt are damaged.
_HIDING = TROUBLE | {errno.EACCES, errno.EPERM}


#: Seconds after which a round takes no more attempts, so that the whole round ends within a second. Attempts that are
#: only followed come first. Attempts that start, stop, end or are taken over wait for the disk and come second, with a
#: guaranteed minimum of seconds.
ROUND_BUDGET_SECONDS = 0.35
CHANGING_BUDGET_SECONDS = 0.175


#: Interval in seconds, and limit of attempts per round. Four thousand take a third of a second.
PROGRESS_SECONDS = 2.0
MOST_OF_A_ROUND = 1_000


class ProgressWriter:
    """Stores the progress of all watched attempts, in several rounds if there are many."""

    def __init__(self, attempts: AttemptStore, clock: Clock) -> None:
        self._attempts = attempts
        self._clock = clock
        self._written_at = float("-inf")  # monotonic
        self._left: list[str] = []  # uids of attempts still to be stored in this interval

    def write(self, watches: Watches, report_error: Callable[[Attempt], object]) -> None:
        """Store the progress of the next attempts. `report_error` is called for an attempt that raises.

        Raise DatabaseUnavailable.
        """
        now = self._clock.monotonic()
        if not self._left:
            if now - self._written_at < PROGRESS_SECONDS:
                return
            self._written_at, self._left = now, list(watches.uids)
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
        round_ends = self._clock.monotonic() + ROUND_BUDGET_SECONDS
        for kind, least in zip(kinds, (0.0, CHANGING_BUDGET_SECONDS), strict=True):
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


class Reconciler:
    """Reconciles the attempts of this machine and storage. One thread calls `tick`."""

    def __init__(
        self,
        observed: ObservedAttempts,
        watches: Watches,
        starter: AttemptStarter,
        follower: AttemptFollower,
        stopping: AttemptStopping,
        draining: GPUDraining,
        clock: Clock,
    ) -> None:
        self._observed = observed
        self._watches = watches
        self._starter = starter
        self._follower = follower
        self._stopping = stopping
        self._draining = draining
        self._clock = clock
        self._troubled: set[str] = set()
        self._renewed_at = float("-inf")
        self._save_seconds = SAVE_SECONDS
        self.has_work = False  #: whether the last tick left work for the next one
        self._portions, self._progress = Portions(clock), ProgressWriter(observed.store, clock)

    def tick(self) -> bool:
        """Make one round over as many attempts as time permits. Return whether a GPU, port or cache became free."""
        # Before anything else, so that the end of a stopped attempt does not count as a failure.
        self._stopping.flush_pending()
        open_attempts, tasks, draining = self._observed.round()
        self._renew(open_attempts)
        self._save_seconds = max(SAVE_SECONDS, len(open_attempts) / SAVES_A_SECOND)
        refs = {attempt.uid: self._observed.ref(attempt) for attempt in open_attempts}
        seen = self._watches.observe(list(refs.values()))
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
        self._progress.write(self._watches, self._log_error)
        if freed:
            # Attempts that ended in this round are draining now.
            draining = self._observed.draining()
        self.has_work = bool(open_attempts or draining)
        return self._draining.free_drained(draining) or freed

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
        watch = self._watches.forget(attempt)
        if watch is not None:
            watch.forget()

    def stand_down(self) -> None:
        """Forget all watches, because another server takes over."""
        self._watches.clear()
        self._starter.clear()
        self._renewed_at = float("-inf")
        self.has_work = False

    def _log_error(self, attempt: Attempt) -> bool:
        if attempt.uid in self._troubled:
            return False
        self._troubled.add(attempt.uid)
        logger.exception("cannot reconcile attempt", extra={"attempt": attempt.uid})
        return True

    def _renew(self, open_attempts: Sequence[Attempt]) -> None:
        now = self._clock.monotonic()
        if now - self._renewed_at >= RENEW_SECONDS:
            wall = self._clock.now()
            self._observed.store.renew(open_attempts, wall + timedelta(seconds=LEASE_SECONDS), wall)
            self._renewed_at = now

    def _reconcile(self, task: TaskSummary, attempt: Attempt, ref: AttemptRef, seen: Observation) -> bool:
        """Reconcile one attempt. Return whether it has ended."""
        if seen.phase is Phase.UNKNOWN:
            self._watches.note_unknown(task, attempt, seen)
            return False
        if seen.phase is Phase.ABSENT:
            return self._starter.start(task, attempt, ref)
        if seen.phase is Phase.QUEUED:
            if task.status is TaskStatus.STOPPING:
                self._stopping.stop_queued(ref)
            return False
        if seen.phase is not Phase.ENDED:
            self._starter.forget(attempt)
        is_over = self._follower.follow(task, attempt, ref, seen, self._save_seconds)
        if is_over:
            self._starter.forget(attempt)
        return is_over
