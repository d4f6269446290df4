"""Downloads by the seam of the trainers: what is executed, how it is asked to stop, what its output means."""

import sys
from dataclasses import replace
from pathlib import Path

from api.errors import Mistake
from api.models.training import Cause, CauseCode, Checkpoint, TrainingPlan, TrainingRequest
from api.trainers.downloads.reader import DownloadLines, DownloadReader
from api.trainers.downloads.wish import WISH
from api.trainers.downloads.words import COMPLETED, REFUSED, STEP_PREFIX, STOPPED
from api.trainers.protocol.diagnosis import diagnose
from api.trainers.trainer import Check, Command, Ending, Launch
from api.utils.clock import time_of
from api.utils.foreign_files import status_of
from api.utils.foreign_trees import list_names
from api.utils.formatting import as_sentence

#: The name by which tasks know it.
DOWNLOADS = "downloads"

#: Where the package lies, for a program that is started in another directory.
_PACKAGE = Path(__file__).resolve().parents[3]

#: What the program leaves in its run directory: everything is there, or it was asked to stop.
_LEFT = ("done.json", "stopped.json")

_RUN = "run_"

#: Of the hub's library: it asks nobody else, and its own words about requests, whose addresses can be keys, go nowhere.
_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "critical",
}


class Downloader:
    """Executes the program that downloads."""

    name = DOWNLOADS
    model_types: frozenset[str] = frozenset()  #: nobody asks for it by a type
    completed_phrase = COMPLETED
    stopped_phrase = STOPPED
    step_prefix = STEP_PREFIX
    program = "api.trainers.downloads.program"
    lacks = "what it shall download is not known any more"

    def __init__(self, python: str = sys.executable) -> None:
        self._python = python

    def problems(self) -> tuple[Mistake, ...]:
        """No problems, ever: it comes with the service."""
        return ()

    def check(self, request: TrainingRequest, output_dir: Path) -> Check:
        """The plan; what is asked for was checked by whoever asks."""
        return Check(plan=TrainingPlan(self.name, request.model_type, 0))

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        """The request as it is: it holds none."""
        return request

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        """The command of one attempt. Raises ValueError where what is wanted is not kept here."""
        if not status_of(str(launch.output_dir / WISH), levels=2).st_size:
            raise ValueError(self.lacks)
        work = ("--work", str(launch.output_dir), "--run", f"{_RUN}{launch.directory.name}")
        return Command(
            argv=(self._python, "-P", "-u", "-m", self.program, *work),
            cwd=launch.directory,
            env={"PYTHONPATH": str(_PACKAGE), **_QUIET},
            files={},
        )

    def create_reader(self, plan: TrainingPlan) -> DownloadReader:
        """A reader of this task's output that has seen nothing yet."""
        return DownloadReader()

    def create_classifier(self, steps_per_epoch: int | None) -> DownloadLines:
        """A reader that tells what lines mean, from anywhere in a log."""
        return DownloadLines()

    def find_run_dir(self, output_dir: Path) -> Path | None:
        """The directory of the latest attempt; None until it has made one. Raises OSError."""
        names = list_names(str(output_dir), levels=2)[0]
        numbers = [name.removeprefix(_RUN) for name in names if name.startswith(_RUN)]
        known = [int(number) for number in numbers if number.isdecimal() and len(number) < 10]
        return output_dir / f"{_RUN}{max(known)}" if known else None

    def checkpoints(self, run_dir: Path) -> tuple[Checkpoint, ...]:
        """What an attempt has left is whole when it says so; the next one goes on from it. Raises OSError."""
        for name in _LEFT:
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
        """A file that it does not look for: whatever comes is kept at once."""
        return run_dir / "save"

    def prepare_resume(self, run_dir: Path, checkpoint: str | None) -> None:
        """Changes nothing: what is there of files is found by their hashes."""

    def prune(self, run_dir: Path, keep: int) -> tuple[str, ...]:
        """Removes nothing."""
        return ()

    def diagnose(self, ending: Ending) -> Cause:
        """Why an attempt failed: by its own word, where it has one."""
        refused = next((line for line in reversed(ending.last_lines) if line.startswith(REFUSED)), None)
        if refused is not None and ending.exit_code == 1:
            return self.explain(as_sentence(refused.removeprefix(REFUSED)[:600]))
        found = diagnose(ending, stopped_phrase=self.stopped_phrase)
        return replace(found, detail=as_sentence(found.detail), remedy=as_sentence(found.remedy))

    def explain(self, said: str) -> Cause:
        """The cause that the program has named as its last word."""
        code = CauseCode.DISK_FULL if "disk space" in said else CauseCode.MISSING_FILE
        return Cause(code, said, "Set right what is named here, then resume it: what is there is not fetched again.")
