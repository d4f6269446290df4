"""Whom a training belongs to: asked before a request about it is let through."""

from collections.abc import Callable

from api.training.attempts.watch import AttemptWatch
from api.training.store import TaskStore


class TaskOwners:
    """Finds the owner of a task, in memory while its attempt runs here: so they can stop it without a database."""

    def __init__(self, tasks: TaskStore, find_watch: Callable[[str], AttemptWatch | None]) -> None:
        self._tasks = tasks
        self._find_watch = find_watch

    def of(self, task_id: str) -> str | None:
        """The user that a task belongs to; None: nobody. Raises TaskNotFound, DatabaseUnavailable."""
        watch = self._find_watch(task_id)
        return self._tasks.get_summary(task_id).owner if watch is None else watch.task.owner
