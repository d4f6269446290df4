"""Attempts of other nodes and storages that no server observes. Their state is unknown."""

import logging
from pathlib import Path

from api.db.leadership import Leaders
from api.domain.reason import Reason
from api.domain.tasks.training import Attempt
from api.nodes.server_identity import name_scope
from api.training.attempts.watch.progress_reports import is_unobserved, unobserved_warning
from api.training.records.attempt_store import ObservedAttempts
from api.training.records.task_store import TaskStore
from api.util.clock import Clock

logger = logging.getLogger(__name__)

#: Interval of checks, and time without an observing server until the task gets a warning, in seconds.
CHECK_SECONDS = 30.0
QUIET_SECONDS = 60.0


class UnwatchedAttempts:
    """Sets warnings for the tasks of unobserved attempts on behalf of all servers. The attempts are not changed."""

    def __init__(self, tasks: TaskStore, observed: ObservedAttempts, leaders: Leaders, clock: Clock) -> None:
        self._tasks = tasks
        self._observed = observed
        self._leaders = leaders
        self._clock = clock
        self._checked_at = float("-inf")

    def check(self) -> None:
        """Check for unobserved attempts, at most every 30 s. Raise DatabaseUnavailable."""
        now = self._clock.monotonic()
        if now - self._checked_at < CHECK_SECONDS:
            return
        self._checked_at = now
        others = self._observed.elsewhere()
        watched = self._leaders.since(self._clock.now().timestamp() - QUIET_SECONDS) if others else set()
        for attempt in others:
            # root/tasks/TASK/attempts/NUMBER
            root = Path(attempt.directory).parents[3]
            if name_scope(root, attempt.node) not in watched:
                self._warn(attempt, root)

    def _warn(self, attempt: Attempt, root: Path) -> None:
        if is_unobserved(self._tasks.get_summary(attempt.task_id)):
            return
        where = Reason.of(
            "it was started on {node} with the storage {root}, which no server observes now",
            "nobody_looks",
            node=attempt.node,
            root=str(root),
        )
        logger.warning("cannot observe attempt", extra={"attempt": attempt.uid, "reason": where.text})
        self._tasks.set_warning(attempt.task_id, attempt.uid, unobserved_warning(where), self._clock.now())
