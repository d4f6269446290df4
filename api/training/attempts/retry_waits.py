"""Waiting times before retries, measured on the monotonic clock."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from api.domain.training import TaskSummary
from api.training.attempts.outcomes import LONGEST_WAIT
from api.util.clock import Clock

_Wait = tuple[str, float]  # a task id and its earliest start


class RetryWaits:
    """Measures each wait from when the loop first saw it. After a restart the wall clock counts.

    One caller at a time may call `note`. `steady` is thread-safe.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: Mapping[_Wait, float] = MappingProxyType({})  #: on the monotonic clock; replaced as a whole

    def note(self, queue: Sequence[TaskSummary]) -> None:
        """Start measuring the waits of these tasks, and forget all others."""
        now, passed = self._clock.now(), self._clock.monotonic()
        due = {_name(task): at for task in queue if (at := self._due_at(task, now, passed)) is not None}
        self._due = MappingProxyType(due)

    def steady(self, queue: Sequence[TaskSummary]) -> list[TaskSummary]:
        """Return the tasks with `not_before` corrected for changes of the wall clock."""
        now, passed = self._clock.now(), self._clock.monotonic()
        due = [self._due_at(task, now, passed) for task in queue]
        return [
            task if at is None else replace(task, not_before=now + timedelta(seconds=max(0.0, at - passed)))
            for task, at in zip(queue, due, strict=True)
        ]

    def _due_at(self, task: TaskSummary, now: datetime, passed: float) -> float | None:
        """Return the monotonic time at which the task's wait ends, or None if it does not wait for a retry."""
        known = self._due.get(_name(task)) if self._due else None
        if known is not None:
            return known
        # Called for each task of a possibly long queue, most of which do not wait for a retry.
        wait = (task.not_before - now).total_seconds() if task.not_before > now else 0.0
        return passed + wait if 0 < wait <= LONGEST_WAIT else None


def _name(task: TaskSummary) -> _Wait:
    return task.task_id, task.not_before.timestamp()
