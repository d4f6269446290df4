"""What every trainer of diffusion-pipe's kind shares: its words, its run directory, and why it ended."""

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
    """The watching half of a trainer: output, run directory, checkpoints, signal files, endings."""

    completed_phrase = COMPLETED
    stopped_phrase = STOPPED
    step_prefix = STEP_PREFIX

    def create_reader(self, plan: TrainingPlan) -> OutputReader:
        """A reader of this task's output that has seen nothing yet."""
        if plan.cache is not None and plan.cache.is_made:
            return caching.CacheReader(plan)
        return OutputReader(plan, self.completed_phrase, self.stopped_phrase)

    def create_classifier(self, steps_per_epoch: int | None) -> LineClassifier:
        """A reader that tells what lines mean, from anywhere in a log."""
        return LineClassifier(steps_per_epoch)

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        """The request unchanged; a trainer whose requests may hold secrets overrides this."""
        return request

    def find_run_dir(self, output_dir: Path) -> Path | None:
        """The newest run directory by its time stamp; None until the trainer has made one. Raises OSError."""
        names = [name for name in list_names(str(output_dir), levels=2)[0] if _RUN_DIR.fullmatch(name)]
        return output_dir / max(names) if names else None

    def checkpoints(self, run_dir: Path) -> tuple[Checkpoint, ...]:
        """The checkpoints in a run directory, oldest first. Raises OSError."""
        return checkpoints.list_checkpoints(run_dir)

    def find_cache_gap(self, directories: Sequence[Path]) -> str | None:
        """What is missing of a cache in these directories of media; None when each has one. Raises OSError."""
        return caching.find_gap(directories)

    def signal_file(self, run_dir: Path) -> Path:
        """The file whose presence asks it to save a checkpoint and quit."""
        return run_dir / "save_quit"

    def save_file(self, run_dir: Path) -> Path:
        """The file whose presence asks it to save a checkpoint and go on."""
        return run_dir / "save"

    def prepare_resume(self, run_dir: Path, checkpoint: str | None) -> None:
        """Makes a run directory ready to be resumed from. Raises ValueError for an unknown or incomplete checkpoint."""
        checkpoints.prepare_resume(run_dir, checkpoint)

    def prune(self, run_dir: Path, keep: int) -> tuple[str, ...]:
        """Removes all but the newest `keep` complete checkpoints (at least one stays); the names of those removed."""
        return checkpoints.prune(run_dir, keep)

    def diagnose(self, ending: Ending) -> Cause:
        """Why an attempt failed."""
        found = diagnose(ending, stopped_phrase=self.stopped_phrase)
        return replace(found, detail=as_sentence(found.detail), remedy=as_sentence(found.remedy))
