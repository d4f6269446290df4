"""Deletes old checkpoints of a training, while it runs and after its end."""

import logging
from datetime import datetime

from api.domain.reason import Reason
from api.domain.training import EventKind
from api.training.attempts.watch import AttemptWatch
from api.training.store import TaskStore

logger = logging.getLogger(__name__)


def prune_checkpoints(tasks: TaskStore, watch: AttemptWatch, now: datetime) -> None:
    """Delete all but the newest complete checkpoints, as the request specifies.

    Each deletion is recorded as an event.
    """
    keep = watch.request.keep_last_checkpoints
    complete = sum(checkpoint.is_complete for checkpoint in watch.checkpoints)
    if keep is None or watch.run_dir is None or complete <= keep:
        return
    uid, task_id = watch.attempt.uid, watch.attempt.task_id
    try:
        removed = watch.trainer.prune(watch.run_dir, keep)
    except OSError as error:
        # The next check retries.
        logger.warning("cannot delete checkpoints", extra={"attempt": uid, "problem": str(error)})
        return
    for name in removed:
        message = Reason.of(
            "{name} was deleted because keep_last_checkpoints is {keep}", "checkpoint_removed", name=name, keep=keep
        )
        tasks.add_event(task_id, EventKind.CHECKPOINT, now, "service", message, uid, previous=name)
