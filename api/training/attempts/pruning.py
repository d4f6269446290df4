"""Removes the checkpoints that a training need not keep, while it runs and once it has ended."""

import logging
from datetime import datetime

from api.domain.reason import Reason
from api.domain.training import EventKind
from api.training.attempts.watch import AttemptWatch
from api.training.store import TaskStore

logger = logging.getLogger(__name__)


def prune_checkpoints(tasks: TaskStore, watch: AttemptWatch, now: datetime) -> None:
    """Removes all but the newest complete checkpoints, as many as were asked for; each removal becomes an event."""
    keep = watch.request.keep_last_checkpoints
    complete = sum(checkpoint.is_complete for checkpoint in watch.checkpoints)
    if keep is None or watch.run_dir is None or complete <= keep:
        return
    uid, task_id = watch.attempt.uid, watch.attempt.task_id
    try:
        removed = watch.trainer.prune(watch.run_dir, keep)
    except OSError as error:
        # It is tried again at the next look; nothing else may wait for it.
        logger.warning("checkpoints cannot be removed", extra={"attempt": uid, "problem": str(error)})
        return
    for name in removed:
        message = Reason.of(
            "{name} was removed: keep_last_checkpoints is {keep}", "checkpoint_removed", name=name, keep=keep
        )
        tasks.add_event(task_id, EventKind.CHECKPOINT, now, "service", message, uid, previous=name)
