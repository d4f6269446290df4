"""Removes the checkpoints that a training need not keep, while it runs and once it has ended."""

from datetime import datetime

from api.models.training import EventKind
from api.services.attempt_watch import AttemptWatch
from api.storage.tasks import TaskStore


def prune_checkpoints(tasks: TaskStore, watch: AttemptWatch, now: datetime) -> None:
    """Keeps the newest complete ones, as many as were asked for; each removal becomes an event."""
    keep = watch.request.keep_last_checkpoints
    complete = sum(checkpoint.is_complete for checkpoint in watch.checkpoints)
    if keep is None or watch.run_dir is None or complete <= keep:
        return
    uid, task_id = watch.attempt.uid, watch.attempt.task_id
    for name in watch.trainer.prune(watch.run_dir, keep):
        message = f"{name} was removed: keep_last_checkpoints is {keep}"
        tasks.add_event(task_id, EventKind.CHECKPOINT, now, "service", message, uid, previous=name)
