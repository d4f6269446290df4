"""Copy a checkpoint for an export by the trainer, which resumes from the copy."""

import os
import shutil
from pathlib import Path

from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.training import PlannedExport
from api.trainers.protocol.checkpoints import LATEST
from api.trainers.trainer import Trainer
from api.training.attempts.outcomes import CannotStart
from api.util.files.foreign_files import OWN_LEVELS, make_directory, open_directory, open_plain_at, write
from api.util.files.foreign_trees import list_names, remove_tree

#: The name of the copy's run directory. It has the form that trainers use, and is older than each of theirs.
COPIED_RUN = "20000101_00-00-00"

#: A checkpoint is one level below its run directory.
_LEVELS = OWN_LEVELS + 1


def copy_checkpoint(planned: PlannedExport, source: Path, target: Path, trainer: Trainer, group: int | None) -> None:
    """Make `target` a run directory with this checkpoint of the run directory `source`, which is not changed.

    `group` is that of the trainers' user, if it is not the service's. Raise CannotStart or OSError.
    """
    found = next((each for each in trainer.checkpoints(source) if each.name == planned.checkpoint), None)
    if found is None or not found.is_complete or found.created_at.isoformat() != planned.written_at:
        cause = Cause.of(
            CauseCode.MISSING_FILE,
            "export_source_gone",
            "{checkpoint} was deleted, or written again, before its turn came.",
            "Export a checkpoint that the training still has.",
            checkpoint=planned.checkpoint,
        )
        raise CannotStart(cause.message, cause)
    remove_tree(str(target))
    copy = target / planned.checkpoint
    make_directory(str(copy), _LEVELS)
    before = open_directory(str(source / planned.checkpoint), _LEVELS)
    try:
        after = open_directory(str(copy), _LEVELS)
        try:
            for name in list_names(str(source / planned.checkpoint), _LEVELS)[1]:
                _link(before, after, name, group)
        finally:
            os.close(after)
    finally:
        os.close(before)
    write(str(target / LATEST), planned.checkpoint.encode(), mode=0o660)
    if group is not None:
        for path in (target, copy):
            os.chown(path, -1, group, follow_symlinks=False)
            path.chmod(0o2770)
        os.chown(target / LATEST, -1, group, follow_symlinks=False)


def _link(before: int, after: int, name: str, group: int | None) -> None:
    """Link a file, or copy it if the file system or the file's owner permits no link."""
    try:
        os.link(name, name, src_dir_fd=before, dst_dir_fd=after, follow_symlinks=False)
        return
    except OSError:
        pass
    made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660, dir_fd=after)
    with open(open_plain_at(before, name), "rb") as reader, open(made, "wb") as writer:
        shutil.copyfileobj(reader, writer, 2**20)
        if group is not None:
            os.fchown(writer.fileno(), -1, group)
            os.fchmod(writer.fileno(), 0o660)
