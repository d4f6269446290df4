"""The checkpoints from which a training can resume."""

from collections.abc import Sequence
from pathlib import Path

from api.domain.training import Checkpoint
from api.errors import NoCheckpoint
from api.trainers.trainer import Trainer
from api.training.views import CheckpointList


def find_checkpoints(trainer: Trainer | None, output_dir: Path) -> CheckpointList:
    """Return the checkpoints in the newest run directory of a task. Raise OSError if they cannot be read."""
    run_dir = None if trainer is None else trainer.find_run_dir(output_dir)
    if trainer is None or run_dir is None:
        return CheckpointList(None, ())
    return CheckpointList(str(run_dir), trainer.checkpoints(run_dir))


def last_complete(checkpoints: Sequence[Checkpoint]) -> Checkpoint | None:
    """Return the complete checkpoint from which a resume continues by default, or None.

    After a resume from an older checkpoint, this is not the one with the highest step.
    """
    complete = [found for found in checkpoints if found.is_complete]
    return next((found for found in complete if found.is_latest), complete[-1] if complete else None)


def choose_checkpoint(task_id: str, checkpoints: Sequence[Checkpoint], name: str | None) -> Checkpoint:
    """Return the complete checkpoint of this name, by default the last one. Raise NoCheckpoint."""
    complete = [found for found in checkpoints if found.is_complete]
    last = last_complete(complete)
    if name is None and last is not None:
        return last
    for checkpoint in complete:
        if checkpoint.name == name:
            return checkpoint
    names = [checkpoint.name for checkpoint in complete]
    what = "has no complete checkpoint" if name is None else f'has no complete checkpoint "{name}"'
    raise NoCheckpoint(f"{task_id} {what}; restart it instead.", data={"checkpoints": names})
