"""How a task ended, as those are told who follow it or its log."""

from api.streaming.models import TaskEnd
from api.training.attempt_store import AttemptStore
from api.training.store import TaskStore


def find_end(tasks: TaskStore, attempts: AttemptStore, task_id: str) -> TaskEnd | None:
    """The end of a task, by its latest attempt; None while it goes on. Raises TaskNotFound."""
    task = tasks.get_summary(task_id)
    if not task.status.is_finished:
        return None
    latest = attempts.of_task(task_id)[-1:]
    outcome = (latest[0].outcome if latest else None) or {}
    return TaskEnd(task_id, task.status, task.cause, outcome.get("exit_code"))
