"""Preprocessing by the seam of the trainers: what is executed, how it is asked to stop, what its output means."""

import sys
from pathlib import Path

from api.domain.training import TrainingPlan, TrainingRequest
from api.jobs.own_program import PACKAGE, OwnProgram, run_of
from api.jobs.preprocessing.lines import WorkLines
from api.jobs.preprocessing.reader import WorkReader
from api.jobs.preprocessing.words import COMPLETED, STEP_PREFIX, STOPPED
from api.trainers.trainer import Check, Command, Launch
from api.util.foreign_files import status_of


class WorkTrainer(OwnProgram):
    """Executes one of the programs that work on the items of a dataset, one after the other."""

    completed_phrase = COMPLETED
    stopped_phrase = STOPPED
    step_prefix = STEP_PREFIX

    def __init__(self, name: str, module: str, threads: int = 1, python: str = sys.executable) -> None:
        """`module` is the program; it takes `--work`, `--run` and `--threads`."""
        self.name = name
        self._module = module
        self._threads = threads
        self._python = python

    def check(self, request: TrainingRequest, output_dir: Path) -> Check:
        """The plan; what is asked for was checked by whoever asks."""
        return Check(plan=TrainingPlan(self.name, request.model_type, request.gpu_count))

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        """The command of one attempt. Raises ValueError where the list of its items is not kept here."""
        status = status_of(str(launch.output_dir / "items.jsonl"), levels=2)
        if not status.st_size:
            raise ValueError("the list of its items is empty")
        work = ("--work", str(launch.output_dir), "--run", run_of(launch))
        return Command(
            argv=(self._python, "-P", "-u", "-m", self._module, *work, "--threads", str(self._threads)),
            cwd=launch.directory,
            env={"PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": str(self._threads)},
            files={},
        )

    def create_reader(self, plan: TrainingPlan) -> WorkReader:
        """A reader of this task's output that has seen nothing yet."""
        return WorkReader(plan.total_steps)

    def create_classifier(self, steps_per_epoch: int | None) -> WorkLines:
        """A reader that tells what lines mean, from anywhere in a log."""
        return WorkLines()
