"""Move the model that the trainer saved for an export into the run directory of the training."""

import errno
import logging
import os
from pathlib import Path

import orjson

from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.training import PlannedExport, TrainingTask
from api.files.task_files import task_files
from api.jobs.exports.request import MARK
from api.trainers.protocol.checkpoints import SAVED_MODEL
from api.training.attempts.checkpoint_copy import COPIED_RUN
from api.training.attempts.task_results import TaskResult
from api.training.output.export_order import FILE_NAME, MODEL_LEVELS, ExportOrder, find_weights
from api.util.files.foreign_files import open_directory, write
from api.util.files.foreign_trees import list_names, remove_tree_at

logger = logging.getLogger(__name__)


class ExportDelivery:
    """Delivers the models of exports. Calls can be repeated."""

    def __init__(self, storage_root: Path) -> None:
        self._storage_root = storage_root

    def collect(self, task: TrainingTask, output_dir: Path) -> TaskResult:
        """Return the name of the delivered weights. The program of a direct export has delivered them itself."""
        planned = task.plan.export
        if planned is None:
            return TaskResult()
        run_dir = task_files(self._storage_root, planned.task_id).output / planned.run
        try:
            name = self._deliver(planned, task.task_id, output_dir / COPIED_RUN, run_dir)
        except OSError as error:
            logger.warning("cannot deliver an export", extra={"task_id": task.task_id, "problem": str(error)})
            return TaskResult(cause=_not_delivered(planned, error))
        return TaskResult(cause=_nothing_saved()) if name is None else TaskResult({FILE_NAME: name})

    def _deliver(self, planned: PlannedExport, export_id: str, made_dir: Path, run_dir: Path) -> str | None:
        """Move the saved model, and return the name of its weights; None if there is none. Raise OSError."""
        order = ExportOrder.by_trainer(planned)
        target, aside = order.target, f".{export_id}.replaced"
        to = open_directory(str(run_dir))
        try:
            # It exists after a kill between the move and its record, or if the training has saved this step meanwhile.
            delivered = order.find_model(run_dir / target)
            if delivered is None and (made := _find_made(made_dir)) is not None:
                write(str(made_dir / made / MARK), orjson.dumps(order.mark), MODEL_LEVELS, 0o660)
                handle = open_directory(str(made_dir))
                try:
                    # The model of an earlier version of the checkpoint, or what a killed trainer left.
                    _put_aside(to, target, aside)
                    os.rename(made, target, src_dir_fd=handle, dst_dir_fd=to)
                finally:
                    os.close(handle)
                delivered = order.find_model(run_dir / target)
            remove_tree_at(to, aside)
        finally:
            os.close(to)
        return delivered


def _put_aside(directory: int, name: str, aside: str) -> None:
    remove_tree_at(directory, aside)
    try:
        os.rename(name, aside, src_dir_fd=directory, dst_dir_fd=directory)
    except FileNotFoundError:
        return


def _find_made(run_dir: Path) -> str | None:
    """Return the name of the saved model's directory, which is named after a step or an epoch. Raise OSError."""
    names = filter(SAVED_MODEL.fullmatch, list_names(str(run_dir))[0])
    return next((name for name in names if find_weights(run_dir / name) is not None), None)


def _nothing_saved() -> Cause:
    return Cause.of(
        CauseCode.TRAINER_ERROR,
        "export_saved_nothing",
        "The trainer ended without saving a model.",
        "Read the end of its log, then export the checkpoint again.",
    )


def _not_delivered(planned: PlannedExport, error: OSError) -> Cause:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Cause.of(
            CauseCode.MISSING_FILE,
            "export_target_gone",
            "The files of {task_id} were deleted in the meantime, so that its model has no place.",
            "Export a checkpoint of a training that still has its files.",
            task_id=planned.task_id,
        )
    return Cause.of(
        CauseCode.DISK_FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else CauseCode.MISSING_FILE,
        "export_not_delivered",
        "The model could not be moved to the files of {task_id}: {why}.",
        "Give the service's user write access to that directory and free space, then export the checkpoint again.",
        task_id=planned.task_id,
        why=error.strerror or str(error),
    )
