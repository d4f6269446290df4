"""Saving a checkpoint of a running training on request."""

import logging
from collections.abc import Mapping
from pathlib import Path

from api.domain.access.audit import note_change
from api.domain.reason import Reason
from api.domain.tasks.progress import LISTENING_STAGES
from api.domain.tasks.training import EventKind, TaskStatus
from api.errors import NotTraining, Unavailable
from api.trainers.trainer import Trainer
from api.training.details import TrainingDetails
from api.training.records.attempt_store import TaskStores
from api.training.views import TaskDetails
from api.util.clock import Clock
from api.util.files.foreign_files import put_empty
from api.util.files.foreign_trees import list_names

logger = logging.getLogger(__name__)


class CheckpointSaving:
    """Requests checkpoints from trainers. An event reports the completion."""

    def __init__(
        self,
        details: TrainingDetails,
        stores: TaskStores,
        trainers: Mapping[str, Trainer],
        clock: Clock,
    ) -> None:
        self._details = details
        self._tasks, self._attempts = stores.tasks, stores.attempts
        self._trainers = trainers
        self._clock = clock

    def save(self, task_id: str, actor: str) -> TaskDetails:
        """Request a checkpoint after the current step. Repeated requests before that change nothing.

        Raise TaskNotFound, NotTraining, or Unavailable if the run directory is not writable.
        """
        file = self._signal_file(task_id)
        try:
            is_requested = file.name in list_names(str(file.parent))[1]
            put_empty(str(file))
        except OSError as error:
            raise Unavailable(f"{file} cannot be written ({error.strerror}). Try again.") from error
        if not is_requested:
            uid = self._attempts.of_task(task_id)[-1].uid
            note_change(after={"attempt": uid})
            now, message = self._clock.now(), Reason.of("a checkpoint was requested", "asked_to_save")
            self._tasks.add_event(task_id, EventKind.CHANGE, now, actor, message, uid)
            logger.info("checkpoint requested", extra={"task_id": task_id})
        return self._details.get_changed(task_id)

    def _signal_file(self, task_id: str) -> Path:
        task, attempts = self._tasks.get_summary(task_id), self._attempts.of_task(task_id)
        stage = self._details.get_progress(task_id).progress.stage
        if task.status is not TaskStatus.RUNNING:
            raise NotTraining(
                f"{task_id} is {task.status}. Only a running training can save a checkpoint.",
                data={"status": task.status},
            )
        run_dir = attempts[-1].run_dir if attempts else None
        if stage not in LISTENING_STAGES or run_dir is None:
            doing = "has not started to train" if stage in LISTENING_STAGES or stage is None else f"is still {stage}"
            raise NotTraining(f"{task_id} {doing}. Try again when it trains.", data={"stage": stage})
        return self._trainers[task.trainer].save_file(Path(run_dir))
