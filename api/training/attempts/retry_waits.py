"""How long tasks wait for their next try, by a clock that nobody sets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from api.domain.training import TaskSummary
from api.training.attempts.outcomes import LONGEST_WAIT
from api.util.clock import Clock

_Wait = tuple[str, float]  # a task, and its time not to begin before


class RetryWaits:
    """Measures each wait from when the loop first saw it; a restart of the service begins with what the wall clock
    says. One caller at a time notes; anybody may ask.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: Mapping[_Wait, float] = MappingProxyType({})  #: monotonic; replaced as a whole

    def note(self, queue: Sequence[TaskSummary]) -> None:
        """Measures the waits of these tasks from now on, and forgets all others."""
        now, passed = self._clock.now(), self._clock.monotonic()
        due = {_name(task): at for task in queue if (at := self._due_at(task, now, passed)) is not None}
        self._due = MappingProxyType(due)

    def steady(self, queue: Sequence[TaskSummary]) -> list[TaskSummary]:
        """The same tasks, with their `not_before` corrected for any change of the clock since."""
        now, passed = self._clock.now(), self._clock.monotonic()
        due = [self._due_at(task, now, passed) for task in queue]
        return [
            task if at is None else replace(task, not_before=now + timedelta(seconds=max(0.0, at - passed)))
            for task, at in zip(queue, due, strict=True)
        ]

    def _due_at(self, task: TaskSummary, now: datetime, passed: float) -> float | None:
        """The monotonic time at which the task's wait ends; None when it does not wait for a retry."""
        known = self._due.get(_name(task)) if self._due else None
        if known is not None:
            return known
        # Asked of each task of a queue that may be long: most never wait for a retry.
        wait = (task.not_before - now).total_seconds() if task.not_before > now else 0.0
        return passed + wait if 0 < wait <= LONGEST_WAIT else None


def _name(task: TaskSummary) -> _Wait:
    return task.task_id, task.not_before.timestamp()
