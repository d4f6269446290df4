"""The toy trainer as a program, started attempt by attempt."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from api.domain.tasks.progress import Point
from api.domain.tasks.training import GPURequest, ResumeOptions, TrainingRequest
from api.trainers.protocol.output import OutputReader
from api.trainers.toy.trainer import Toy
from api.trainers.trainer import Ending, Launch

TOY = Toy()
FAST = {"steps_per_epoch": 10, "step_seconds": 0, "load_seconds": 0, "cache_seconds": 0}
WAIT_SECONDS = 60


@dataclass
class Run:
    """Attempts of one task in one directory."""

    directory: Path
    config: dict
    gpus: int = 1
    attempts: int = 0
    process: subprocess.Popen | None = None
    started: list[subprocess.Popen] = field(default_factory=list)

    @property
    def output_dir(self) -> Path:
        return self.directory / "output"

    @property
    def run_dir(self) -> Path | None:
        return TOY.find_run_dir(self.output_dir)

    @property
    def log(self) -> Path:
        return self.directory / f"attempt{self.attempts}" / "log"

    def start(self, resume: ResumeOptions | None = None) -> None:
        request = TrainingRequest(model_type="toy", gpus=GPURequest(count=self.gpus), config=self.config)
        checked = TOY.check(request, self.output_dir)
        assert checked.plan is not None, checked.errors
        self.plan = checked.plan
        self.attempts += 1
        self.log.parent.mkdir(parents=True)
        run_dir = None
        if resume is not None:
            run_dir = self.run_dir
            TOY.prepare_resume(run_dir, resume.checkpoint)
        launch = Launch(
            self.log.parent, self.output_dir, tuple(range(self.gpus)), 29500, run_dir, resume or ResumeOptions()
        )
        command = TOY.prepare(request, self.plan, launch)
        for name, text in command.files.items():
            (launch.directory / name).write_text(text)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command.argv,
                cwd=command.cwd,
                env={"PATH": os.environ["PATH"], **command.env},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        self.started.append(self.process)

    def wait(self) -> int:
        return self.process.wait(WAIT_SECONDS)

    def lines(self) -> list[str]:
        return [line for line in re.split("[\r\n]", self.log.read_text(errors="replace")) if line]

    def read(self) -> tuple[OutputReader, list[Point]]:
        reader = TOY.create_reader(self.plan)
        points = [reader.read(line, float(count)) for count, line in enumerate(self.lines())]
        return reader, [point for point in points if point is not None and point.tag == "train/loss"]

    def diagnose(self):
        code, (reader, _) = self.wait(), self.read()
        ending = Ending(
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            stop_requested=False,
            phrases=frozenset(reader.progress.phrases),
            last_lines=self.lines(),
            nan_in_a_row=reader.progress.nan_in_a_row,
        )
        return TOY.diagnose(ending)

    def processes(self) -> list[psutil.Process]:
        """Return all live processes of the task, including orphaned children."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_zombie = process.status() == psutil.STATUS_ZOMBIE
                if not is_zombie and any(str(self.directory) in argument for argument in process.cmdline()):
                    found.append(process)
        return found


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"timeout waiting for {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def creating(root: Path) -> Iterator[Callable[..., Run]]:
    """Create runs below this directory, and end their remaining processes afterwards."""
    runs: list[Run] = []

    def make(name: str = "task", gpus: int = 1, toy: dict | None = None, **config) -> Run:
        runs.append(Run(root / name, {"epochs": 3, **config, "toy": FAST | (toy or {})}, gpus))
        return runs[-1]

    try:
        yield make
    finally:
        for run in runs:
            for process in run.processes():
                with contextlib.suppress(psutil.Error):
                    process.kill()
            for started in run.started:
                started.wait(WAIT_SECONDS)
