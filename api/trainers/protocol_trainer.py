"""The protocol that all trainers of diffusion-pipe's kind share, as a base class."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from api.domain.tasks.cause import Cause
from api.domain.tasks.training import Checkpoint, ResumePoint, TrainingPlan, TrainingRequest
from api.trainers.failures.diagnosis import diagnose
from api.trainers.protocol import caching, checkpoints
from api.trainers.protocol.log_lines import LineClassifier
from api.trainers.protocol.output import OutputReader
from api.trainers.protocol.phrases import COMPLETED, STEP_PREFIX, STOPPED
from api.trainers.trainer import Ending
from api.util.files.foreign_trees import list_names
from api.util.text.formatting import as_sentence

_RUN_DIR = re.compile(r"\d{8}_\d{2}-\d{2}-\d{2}", re.ASCII)


class RunProtocol:
    """The observing half of a trainer: output, run directory, checkpoints, signal files, causes of failure."""

    completed_phrase = COMPLETED
    stopped_phrase = STOPPED
    step_prefix = STEP_PREFIX

    def create_reader(self, plan: TrainingPlan, resumed: ResumePoint | None = None) -> OutputReader:
        """Return a new reader for the output of an attempt, which may have resumed from a checkpoint."""
        if plan.cache is not None and plan.cache.is_made:
            return caching.CacheReader(plan)
        return OutputReader(plan, self.completed_phrase, self.stopped_phrase, resumed)

    def create_classifier(self, steps_per_epoch: int | None) -> LineClassifier:
        """Return a classifier of log lines that can start anywhere in a log."""
        return LineClassifier(steps_per_epoch)

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        """Return the request unchanged. Trainers whose requests may hold secrets override this."""
        return request

    def find_run_dir(self, output_dir: Path) -> Path | None:
        """Return the newest run directory by its timestamp, or None if there is none yet. Raise OSError."""
        names = [name for name in list_names(str(output_dir), levels=2)[0] if _RUN_DIR.fullmatch(name)]
        return output_dir / max(names) if names else None

    def checkpoints(self, run_dir: Path) -> tuple[Checkpoint, ...]:
        """Return the checkpoints in a run directory, oldest first. Raise OSError."""
        return checkpoints.list_checkpoints(run_dir)

    def find_resume_point(self, run_dir: Path, checkpoint: str) -> ResumePoint | None:
        """Return where the trainer continues after this checkpoint, or None if that cannot be read."""
        return checkpoints.find_resume_point(run_dir, checkpoint)

    def find_cache_gap(self, directories: Sequence[Path]) -> str | None:
        """Return which part of the cache is missing in these media directories, or None. Raise OSError."""
        return caching.find_gap(directories)

    def signal_file(self, run_dir: Path) -> Path:
        """Return the path of the file that requests the trainer to save a checkpoint and quit."""
        return run_dir / "save_quit"

    def save_file(self, run_dir: Path) -> Path:
        """Return the path of the file that requests the trainer to save a checkpoint and continue."""
        return run_dir / "save"

    def prepare_resume(self, run_dir: Path, checkpoint: str | None) -> None:
        """Prepare a run directory for a resume. Raise ValueError for an unknown or incomplete checkpoint."""
        checkpoints.prepare_resume(run_dir, checkpoint)

    def hide_checkpoint(self, run_dir: Path, name: str) -> None:
        """Make a checkpoint or saved model unavailable, and mark it for deletion. Raise OSError."""
        checkpoints.hide(run_dir, name)

    def unhide_checkpoint(self, run_dir: Path, name: str) -> None:
        """Make a hidden checkpoint or saved model available again. Raise OSError."""
        checkpoints.unhide(run_dir, name)

    def delete_hidden(self, run_dir: Path) -> bool:
        """Delete the hidden checkpoints and saved models. Return whether none is left."""
        return checkpoints.delete_hidden(run_dir)

    def diagnose(self, ending: Ending) -> Cause:
        """Return the cause of a failed attempt."""
        found = diagnose(ending, stopped_phrase=self.stopped_phrase)
        return replace(found, detail=as_sentence(found.detail), remedy=as_sentence(found.remedy))
