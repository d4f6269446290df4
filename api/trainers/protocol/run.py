"""The protocol that all trainers of diffusion-pipe's kind share, as a base class."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from api.domain.cause import Cause
from api.domain.training import Checkpoint, TrainingPlan, TrainingRequest
from api.trainers.protocol import caching, checkpoints
from api.trainers.protocol.diagnosis import diagnose
from api.trainers.protocol.log_lines import LineClassifier
from api.trainers.protocol.output import OutputReader
from api.trainers.protocol.phrases import COMPLETED, STEP_PREFIX, STOPPED
from api.trainers.trainer import Ending
from api.util.foreign_trees import list_names
from api.util.formatting import as_sentence

_RUN_DIR = re.compile(r"\d{8}_\d{2}-\d{2}-\d{2}", re.ASCII)


class RunProtocol:
    """The observing half of a trainer: output, run directory, checkpoints, signal files, causes of failure."""

    completed_phrase = COMPLETED
    stopped_phrase = STOPPED
    step_prefix = STEP_PREFIX

    def create_reader(self, plan: TrainingPlan) -> OutputReader:
        """Return a new reader for this task's output."""
        if plan.cache is not None and plan.cache.is_made:
            return caching.CacheReader(plan)
        return OutputReader(plan, self.completed_phrase, self.stopped_phrase)

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

    def prune(self, run_dir: Path, keep: int) -> tuple[str, ...]:
        """Remove all but the newest `keep` (at least one) complete checkpoints, and return the removed names."""
        return checkpoints.prune(run_dir, keep)

    def diagnose(self, ending: Ending) -> Cause:
        """Return the cause of a failed attempt."""
        found = diagnose(ending, stopped_phrase=self.stopped_phrase)
        return replace(found, detail=as_sentence(found.detail), remedy=as_sentence(found.remedy))
