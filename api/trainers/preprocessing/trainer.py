"""Preprocessing by the seam of the trainers: what is executed, how it is asked to stop, what its output means."""

import sys
from dataclasses import replace
from pathlib import Path

from api.errors import Mistake
from api.models.training import Cause, Checkpoint, TrainingPlan, TrainingRequest
from api.trainers.preprocessing.lines import WorkLines
from api.trainers.preprocessing.reader import WorkReader
from api.trainers.preprocessing.words import COMPLETED, STEP_PREFIX, STOPPED
from api.trainers.protocol.diagnosis import diagnose
from api.trainers.trainer import Check, Command, Ending, Launch
from api.utils.clock import time_of
from api.utils.foreign_files import status_of
from api.utils.foreign_trees import list_names
from api.utils.formatting import as_sentence

#: Where the package lies, for a program that is started in another directory.
_PACKAGE = Path(__file__).resolve().parents[3]

#: What the program leaves in its run directory: everything is done, or it was asked to stop.
DONE, QUIT = "done.json", "stopped.json"

_RUN = "run_"


class WorkTrainer:
    """Executes one of the programs that work on the items of a dataset, one after the other."""

    model_types: frozenset[str] = frozenset()  #: nobody asks for it by a type
    completed_phrase = COMPLETED
    stopped_phrase = STOPPED
    step_prefix = STEP_PREFIX

    def __init__(self, name: str, module: str, threads: int = 1, python: str = sys.executable) -> None:
        """`module` is the program; it takes `--work`, `--run` and `--threads`."""
        self.name = name
        self._module = module
        self._threads = threads
        self._python = python

    def problems(self) -> tuple[Mistake, ...]:
        """No problems, ever: it comes with the service."""
        return ()

    def check(self, request: TrainingRequest, output_dir: Path) -> Check:
        """The plan; what is asked for was checked by whoever asks."""
        return Check(plan=TrainingPlan(self.name, request.model_type, request.gpu_count))

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        """The request as it is: it holds none."""
        return request

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        """The command of one attempt. Raises ValueError where the list of its items is not kept here."""
        status = status_of(str(launch.output_dir / "items.jsonl"), levels=2)
        if not status.st_size:
            raise ValueError("the list of its items is empty")
        work = ("--work", str(launch.output_dir), "--run", f"{_RUN}{launch.directory.name}")
        return Command(
            argv=(self._python, "-P", "-u", "-m", self._module, *work, "--threads", str(self._threads)),
            cwd=launch.directory,
            env={"PYTHONPATH": str(_PACKAGE), "OMP_NUM_THREADS": str(self._threads)},
            files={},
        )

    def create_reader(self, plan: TrainingPlan) -> WorkReader:
        """A reader of this task's output that has seen nothing yet."""
        return WorkReader(plan.total_steps)

    def create_classifier(self, steps_per_epoch: int | None) -> WorkLines:
        """A reader that tells what lines mean, from anywhere in a log."""
        return WorkLines()

    def find_run_dir(self, output_dir: Path) -> Path | None:
        """The directory of the latest attempt; None until it has made one. Raises OSError."""
        numbers = [
            name.removeprefix(_RUN) for name in list_names(str(output_dir), levels=2)[0] if name.startswith(_RUN)
        ]
        known = [int(number) for number in numbers if number.isdecimal()]
        return output_dir / f"{_RUN}{max(known)}" if known else None

    def checkpoints(self, run_dir: Path) -> tuple[Checkpoint, ...]:
        """What an attempt has left is whole when it says so; the next one takes it up. Raises OSError."""
        for name in (DONE, QUIT):
            try:
                status = status_of(str(run_dir / name))
            except FileNotFoundError:
                continue
            made = time_of(status.st_mtime)
            return (Checkpoint(name, None, status.st_size, made, is_complete=True, is_latest=True),)
        return ()

    def signal_file(self, run_dir: Path) -> Path:
        """The file whose presence asks it to stop."""
        return run_dir / "stop"

    def save_file(self, run_dir: Path) -> Path:
        """A file that it does not look for: everything it makes is kept at once."""
        return run_dir / "save"

    def prepare_resume(self, run_dir: Path, checkpoint: str | None) -> None:
        """Changes nothing: what was made is found by its name."""

    def prune(self, run_dir: Path, keep: int) -> tuple[str, ...]:
        """Removes nothing: no name is of something that a later one replaces."""
        return ()

    def diagnose(self, ending: Ending) -> Cause:
        """Why an attempt failed."""
        found = diagnose(ending, stopped_phrase=self.stopped_phrase)
        return replace(found, detail=as_sentence(found.detail), remedy=as_sentence(found.remedy))
