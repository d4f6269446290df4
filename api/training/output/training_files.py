"""The files of trainings: checkpoints, saved models and everything else in their output directories."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from api.domain.access.audit import note_change
from api.domain.datasets.dataset import PinnedDataset
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import Checkpoint, TaskSummary, TrainingTask
from api.errors import (
    CheckpointInUse,
    CheckpointNotFound,
    DatabaseUnavailable,
    TaskNotFinished,
    Unavailable,
)
from api.files.weights.rewriting import RewrittenFile
from api.training.output.artifacts import OpenFile, list_artifacts, open_artifact
from api.training.output.export_order import ExportOrder
from api.training.output.exports import Exports
from api.training.output.model_downloads import deliver
from api.training.output.resume_points import require_unneeded
from api.training.output.written import TrainingOutput
from api.training.records.task_store import TaskStore
from api.training.views import Artifact, CheckpointList, Deleted, DeletedCheckpoint
from api.util.clock import Clock
from api.util.files.foreign_files import is_gone, remove

logger = logging.getLogger(__name__)


class TrainingFiles:
    """Lists, opens and deletes the files of trainings."""

    def __init__(
        self,
        tasks: TaskStore,
        output: TrainingOutput,
        exports: Exports,
        clock: Clock,
        find_trigger: Callable[[Sequence[PinnedDataset]], str | None],
        forget_files: Callable[[str], None],
        unlink_models: Callable[[str], None],
    ) -> None:
        """Create the service.

        `find_trigger` returns the trigger word that preprocessing put in front of the captions of datasets.
        `forget_files` has the files of a task measured again. `unlink_models` has the links of a deleted training
        removed from ComfyUI's directories.
        """
        self._tasks = tasks
        self._output = output
        self._exports = exports
        self._clock = clock
        self._find_trigger = find_trigger
        self._forget_files = forget_files
        self._unlink_models = unlink_models

    def get_checkpoints(self, task_id: str) -> CheckpointList:
        """Return the checkpoints of a task, oldest first, with their exports. Raise TaskNotFound or OSError."""
        found = self._output.find_checkpoints(self._tasks.get_summary(task_id))
        return replace(found, exports=self._exports.of(task_id))

    def get_artifacts(self, task_id: str) -> list[Artifact]:
        """Return every file that a task made, by path. Raise TaskNotFound or OSError."""
        task = self._tasks.get_summary(task_id)
        complete = {found.name: found.is_complete for found in self._output.find_checkpoints(task).checkpoints}
        return list_artifacts(self._output.files(task_id).output, complete, task.name or task.model_type)

    def open_artifact(self, task_id: str, path: str, *, is_raw: bool = False) -> OpenFile | RewrittenFile:
        """Open a file of a task for reading, a saved model with its metadata unless `is_raw`.

        Raise TaskNotFound, ArtifactNotFound or StorageGone.
        """
        task = self._tasks.get(task_id)
        self._output.storage.require()
        file = open_artifact(self._output.files(task_id).output, path, task.name or task.model_type)
        try:
            return file if is_raw else deliver(task, file, path, self._find_trigger)
        except OSError:
            file.close()
            raise

    def require(self, task_id: str) -> None:
        """Raise TaskNotFound or StorageGone."""
        self._tasks.get_summary(task_id)
        self._output.storage.require()

    def delete_checkpoint(self, task_id: str, name: str, actor: str) -> DeletedCheckpoint:
        """Delete a checkpoint. Raise TaskNotFound, CheckpointNotFound, CheckpointInUse or Unavailable."""
        undo: list[Callable[[], None]] = []

        def hide(task: TaskSummary, resumed_from: str | None, made: Sequence[TrainingTask]) -> Checkpoint:
            found = self._output.find_checkpoints(task)
            checkpoint = next((one for one in found.checkpoints if one.name == name), None)
            if checkpoint is None or found.run_dir is None:
                raise CheckpointNotFound(data={"checkpoints": [one.name for one in found.checkpoints]})
            require_unneeded(task, resumed_from, found.checkpoints, checkpoint)
            if any(ExportOrder.of_task(each).checkpoint == name for each in made if not each.status.is_finished):
                raise CheckpointInUse(f"A LoRA is being made of {name}. Delete it afterwards.")
            trainer, run_dir = self._output.trainers[task.trainer], Path(found.run_dir)
            try:
                trainer.hide_checkpoint(run_dir, name)
            except OSError as error:
                raise Unavailable(f"{name} cannot be deleted ({error.strerror}). Try again.") from error
            undo.append(lambda: trainer.unhide_checkpoint(run_dir, name))
            return checkpoint

        try:
            checkpoint = self._tasks.record_checkpoint_deletion(task_id, hide, self._clock.now(), actor)
        except DatabaseUnavailable:
            # Nothing was recorded: the checkpoint is there again, so that the request can be repeated.
            with suppress(OSError):
                for step in undo:
                    step()
            raise
        logger.info("checkpoint deleted", extra={"task_id": task_id, "checkpoint": name})
        task = self._tasks.get_summary(task_id)
        run_dir = self._output.find_checkpoints(task).run_dir
        is_deleted = run_dir is not None and self._output.trainers[task.trainer].delete_hidden(Path(run_dir))
        self._forget_files(task_id)
        return DeletedCheckpoint(task_id, name, checkpoint.size_bytes if is_deleted else None)

    def delete(self, task_id: str, with_files: bool) -> Deleted:
        """Delete a finished task with its samples, and its files if requested.

        Tasks that build caches, rehearse or render samples always lose their files. Raise TaskNotFound,
        TaskNotFinished (also while an export needs its files) or CacheInUse.
        """
        own = (TaskType.CACHE, TaskType.REHEARSAL, TaskType.SAMPLE)
        with_files = with_files or self._tasks.get_summary(task_id).kind in own
        if with_files:
            self._require_no_export(task_id)
        note_change(after={"files_removed": with_files})
        for sampling_id in self._tasks.delete(task_id, self._clock.steady.now()):
            self._output.files(sampling_id).remove()
        files = self._output.files(task_id)
        if with_files:
            files.remove()
            self._unlink_models(task_id)
        else:
            # The secrets only serve to resume or restart the task.
            remove(str(files.secrets), levels=1)
        logger.info("training deleted", extra={"task_id": task_id, "with_files": with_files})
        is_left = not is_gone(str(files.root))
        if not is_left:
            self._forget_files(task_id)
        return Deleted(task_id, with_files and not is_left, str(files.root) if is_left else None)

    def _require_no_export(self, task_id: str) -> None:
        """Raise TaskNotFinished if an export needs the files of a task."""
        for made in self._tasks.exports_of(task_id):
            if not made.status.is_finished:
                raise TaskNotFinished.because(f"{made.task_id} exports a checkpoint of it.", made.status)
