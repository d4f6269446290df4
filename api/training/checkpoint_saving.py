"""Has a training save a checkpoint now, at a user's wish, and go on."""

import logging
from collections.abc import Mapping
from pathlib import Path

from api.domain.audit import note_change
from api.domain.progress import LISTENING_STAGES
from api.domain.reason import Reason
from api.domain.training import EventKind, TaskStatus
from api.errors import NotTraining, Unavailable
from api.trainers.trainer import Trainer
from api.training.attempt_store import AttemptStore
from api.training.service import TrainingService
from api.training.store import TaskStore
from api.training.views import TaskDetails
from api.util.clock import Clock
from api.util.foreign_files import put_empty
from api.util.foreign_trees import list_names

logger = logging.getLogger(__name__)


class CheckpointSaving:
    """Asks trainers to save a checkpoint; an event tells when it is there."""

    def __init__(
        self,
        training: TrainingService,
        tasks: TaskStore,
        attempts: AttemptStore,
        trainers: Mapping[str, Trainer],
        clock: Clock,
    ) -> None:
        self._training = training
        self._tasks = tasks
        self._attempts = attempts
        self._trainers = trainers
        self._clock = clock

    def save(self, task_id: str, actor: str) -> TaskDetails:
        """Asks a training to save a checkpoint after its present step; asked again before that, nothing changes.

        Raises TaskNotFound, NotTraining, and Unavailable when its directory cannot be written.
        """
        file = self._signal_file(task_id)
        try:
            is_asked = file.name in list_names(str(file.parent))[1]
            put_empty(str(file))
        except OSError as error:
            raise Unavailable(f"{file} cannot be written ({error.strerror}): ask again.") from error
        if not is_asked:
            uid = self._attempts.of_task(task_id)[-1].uid
            note_change(after={"attempt": uid})
            now, message = self._clock.now(), Reason.of("asked to save a checkpoint now", "asked_to_save")
            self._tasks.add_event(task_id, EventKind.CHANGE, now, actor, message, uid)
            logger.info("checkpoint asked for", extra={"task_id": task_id})
        return self._training.get_changed(task_id)

    def _signal_file(self, task_id: str) -> Path:
        task, attempts = self._tasks.get_summary(task_id), self._attempts.of_task(task_id)
        stage = self._training.get_progress(task_id).progress.stage
        if task.status is not TaskStatus.RUNNING:
            raise NotTraining(f"{task_id} is {task.status}: it saves nothing.", data={"status": task.status})
        run_dir = attempts[-1].run_dir if attempts else None
        if stage not in LISTENING_STAGES or run_dir is None:
            doing = "has not begun to train" if stage in LISTENING_STAGES or stage is None else f"is {stage} still"
            raise NotTraining(f"{task_id} {doing}: ask again when it trains.", data={"stage": stage})
        return self._trainers[task.trainer].save_file(Path(run_dir))
