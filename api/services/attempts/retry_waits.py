"""How long tasks wait for their next try, by a clock that nobody sets."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from api.models.training import TaskSummary
from api.services.attempts.outcomes import LONGEST_WAIT
from api.utils.clock import Clock


class RetryWaits:
    """Measures each wait from when it was first seen; a restart of the service begins with what the wall clock says."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due: dict[tuple[str, float], float] = {}  # monotonic, by task and its time not to begin before

    def steady(self, queue: Sequence[TaskSummary]) -> list[TaskSummary]:
        """The same tasks, with the time that each may begin as it would be had the clock not been set meanwhile."""
        now, passed = self._clock.now(), self._clock.monotonic()
        with self._lock:
            due: dict[tuple[str, float], float] = {}
            steadied = []
            for task in queue:
                key = (task.task_id, task.not_before.timestamp())
                wait = (task.not_before - now).total_seconds()
                if key not in self._due and not 0 < wait <= LONGEST_WAIT:
                    steadied.append(task)
                    continue
                due[key] = self._due.get(key, passed + wait)
                steadied.append(replace(task, not_before=now + timedelta(seconds=max(0.0, due[key] - passed))))
            self._due = due
        return steadied
