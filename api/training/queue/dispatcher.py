"""Assign free GPUs, and slots for tasks without GPUs: plans a pass over the queue and claims its assignments."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from api.domain.access.read_scope import current_scope
from api.domain.reason import Reason
from api.domain.tasks.training import TaskStatus, TaskSummary
from api.gpus.service import GPUService
from api.training.queue.claims import AttemptClaims
from api.training.queue.closures import ReadClosures
from api.training.queue.cluster_window import ClusterWindow
from api.training.queue.planner import PassPlanner
from api.training.queue.preemption import Preemption
from api.training.queue.scheduler import Pass
from api.training.queue.waiting_messages import JUST_QUEUED
from api.training.records.attempt_store import TaskStores
from api.util.clock import Clock

#: A pass without news is followed by a pause this many times as long, so that 1,000 waiting tasks use 2 % of a core.
REST_SHARE = 50.0
LONGEST_REST = 3.0

#: Maximum age of a pass whose reasons are used, in seconds. The loop makes two passes per second.
DECISION_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class DatedPass:
    """A pass and the monotonic time of its creation."""

    decided: Pass
    at: float


class WaitingReasons:
    """The reasons of the latest pass. One thread publishes passes; any thread may read."""

    def __init__(self, clock: Clock, plan: Callable[[], Pass]) -> None:
        """Create the reasons. `plan` makes a pass now, for a server whose loop publishes none."""
        self._clock = clock
        self._plan = plan
        self._published = DatedPass(Pass(), float("-inf"))
        self._planning = threading.Lock()  # guards `_planned`
        self._planned = self._published

    def publish(self, decided: Pass) -> None:
        """Store the latest pass."""
        self._published = DatedPass(decided, self._clock.monotonic())

    @property
    def short(self) -> Sequence[TaskSummary]:
        """The first tasks that only lacked GPUs at the latest published pass."""
        return self._published.decided.short

    def get(self, task_id: str) -> Reason:
        """Return why this task waits, as far as the reader may know."""
        latest = self._published
        if not self._is_fresh(latest):
            # This server does not assign GPUs. A pass made here decides what the assigning one would.
            latest = self._plan_now()
        return latest.decided.why(task_id, current_scope.get()) or JUST_QUEUED

    def _plan_now(self) -> DatedPass:
        """Make a pass for readers, at most one at a time."""
        with self._planning:
            if not self._is_fresh(self._planned):
                self._planned = DatedPass(self._plan(), self._clock.monotonic())
            return self._planned

    def _is_fresh(self, made: DatedPass) -> bool:
        return self._clock.monotonic() - made.at <= DECISION_SECONDS


class Dispatcher:
    """The queue of this machine. One thread calls `dispatch`; any thread may read why a task waits."""

    def __init__(
        self,
        stores: TaskStores,
        planner: PassPlanner,
        claims: AttemptClaims,
        gpus: GPUService,
        clock: Clock,
        window: ClusterWindow | None = None,
        preemption: Preemption | None = None,
    ) -> None:
        """Create the dispatcher.

        `window` submits the first tasks to a cluster. Without `preemption`, no training is stopped for another.
        """
        self._tasks, self._attempts = stores.tasks, stores.attempts
        self._planner = planner
        self._claims = claims
        self._gpus = gpus
        self._clock = clock
        self._window = window
        self._preemption = preemption
        self.reasons = WaitingReasons(clock, lambda: planner.plan(self._tasks.queued()))  #: of the latest pass
        self._rests_until = float("-inf")

    @property
    def has_work(self) -> bool:
        """Whether a task waits or runs, in the database or in the cluster. A cheap check."""
        return self._attempts.has_work() or (self._window is not None and self._window.is_open)

    def dispatch(self, news: bool = True, closures: ReadClosures | None = None) -> int:
        """Make one pass and claim every task that can start. Return their number.

        Without news, a long queue is considered less often. `closures` were read in this round, or are read now.
        """
        began = self._clock.monotonic()
        if not news and began < self._rests_until:
            return 0
        queue = self._tasks.queued()
        self._planner.waits.start(queue)
        decided = self._planner.plan(queue, closures) if queue else Pass()
        self.reasons.publish(decided)
        now = self._clock.monotonic()
        self._rests_until = now + min(LONGEST_REST, REST_SHARE * (now - began))
        claimed = sum(self._claims.claim(found.task, found.gpus) for found in decided.assignments)
        claimed += self._update_window(decided, closures)
        if self._preemption is not None and decided.urgent:
            offers, rules = self._planner.usable_offers(closures), self._planner.rules
            nodes = rules.nodes_of(decided.urgent)
            self._preemption.check(decided.urgent, queue, offers, nodes, rules.max_concurrent)
        if claimed:
            self._gpus.republish()
        return claimed

    def _update_window(self, decided: Pass, closures: ReadClosures | None) -> int:
        """Let the first tasks that lack GPUs wait in the cluster, and start those that got GPUs there."""
        if self._window is None or not (self._window.is_open or decided.short):
            return 0
        offers, nodes = self._planner.usable_offers(closures), self._planner.rules.nodes_of(decided.short)
        return self._window.update(decided.short, offers, nodes, self._claims.claim)

    def why_waiting(self, task: TaskSummary) -> Reason | None:
        """Return why a task waits here or in the cluster, as far as the reader may know; None if it does not."""
        if task.status is TaskStatus.STARTING:
            return self._claims.why_queued(task)
        if task.status is not TaskStatus.QUEUED:
            return None
        by_cluster = None if self._window is None else self._window.why(task)
        return by_cluster or self.reasons.get(task.task_id)
