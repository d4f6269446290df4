"""Determines how a task ended, for its streams and for followers of its log."""

from api.streaming.models import TaskEnd
from api.training.attempt_store import AttemptStore
from api.training.store import TaskStore


def find_end(tasks: TaskStore, attempts: AttemptStore, task_id: str) -> TaskEnd | None:
    """Return the end of a task, from its latest attempt; None if it has not ended. Raises TaskNotFound."""
    task = tasks.get_summary(task_id)
    if not task.status.is_finished:
        return None
    latest = attempts.of_task(task_id)[-1:]
    outcome = (latest[0].outcome if latest else None) or {}
    return TaskEnd(task_id, task.status, task.cause, outcome.get("exit_code"))
