"""Owners of trainings, checked before a request about a training is accepted."""

from collections.abc import Callable

from api.training.attempts.watch import AttemptWatch
from api.training.store import TaskStore


class TaskOwners:
    """Finds the owner of a task. Uses memory while its attempt runs here, so that a stop works without a database."""

    def __init__(self, tasks: TaskStore, find_watch: Callable[[str], AttemptWatch | None]) -> None:
        self._tasks = tasks
        self._find_watch = find_watch

    def of(self, task_id: str) -> str | None:
        """Return the owner of a task, or None if it has none. Raise TaskNotFound or DatabaseUnavailable."""
        watch = self._find_watch(task_id)
        return self._tasks.get_summary(task_id).owner if watch is None else watch.task.owner
