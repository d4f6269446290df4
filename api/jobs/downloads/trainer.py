"""Downloads by the seam of the trainers: what is executed, how it is asked to stop, what its output means."""

import sys
from itertools import pairwise
from pathlib import Path

from api.domain.cause import Cause, CauseCode
from api.domain.reason import Reason
from api.domain.training import TrainingPlan, TrainingRequest
from api.jobs.downloads.reader import DownloadLines, DownloadReader
from api.jobs.downloads.wish import WISH
from api.jobs.downloads.words import COMPLETED, REFUSED, STEP_PREFIX, STOPPED, read_reason
from api.jobs.own_program import PACKAGE, OwnProgram, run_of
from api.trainers.trainer import Check, Command, Ending, Launch
from api.util.foreign_files import status_of
from api.util.formatting import as_sentence

#: The name by which tasks know it.
DOWNLOADS = "downloads"

#: Of the hub's library: it asks nobody else, and its own words about requests, whose addresses can be keys, go nowhere.
_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "critical",
}


class Downloader(OwnProgram):
    """Executes the program that downloads."""

    name = DOWNLOADS
    completed_phrase = COMPLETED
    stopped_phrase = STOPPED
    step_prefix = STEP_PREFIX
    program = "api.jobs.downloads.program"
    lacks = "what it shall download is not known any more"
    remedy = Reason.of(
        "Set right what is named here, then resume it: what is there is not fetched again.", "download_refused_remedy"
    )

    def __init__(self, python: str = sys.executable) -> None:
        self._python = python

    def check(self, request: TrainingRequest, output_dir: Path) -> Check:
        """The plan; what is asked for was checked by whoever asks."""
        return Check(plan=TrainingPlan(self.name, request.model_type, 0))

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        """The command of one attempt. Raises ValueError where what is wanted is not kept here."""
        if not status_of(str(launch.output_dir / WISH), levels=2).st_size:
            raise ValueError(self.lacks)
        work = ("--work", str(launch.output_dir), "--run", run_of(launch))
        return Command(
            argv=(self._python, "-P", "-u", "-m", self.program, *work),
            cwd=launch.directory,
            env={"PYTHONPATH": str(PACKAGE), **_QUIET},
            files={},
            is_own=True,
        )

    def create_reader(self, plan: TrainingPlan) -> DownloadReader:
        """A reader of this task's output that has seen nothing yet."""
        return DownloadReader()

    def create_classifier(self, steps_per_epoch: int | None) -> DownloadLines:
        """A reader that tells what lines mean, from anywhere in a log."""
        return DownloadLines()

    def diagnose(self, ending: Ending) -> Cause:
        """Why an attempt failed: by its own word, where it has one."""
        lines = ["", *ending.last_lines]
        for before, line in reversed(tuple(pairwise(lines))):
            refused = REFUSED.match(line)
            if refused is not None and ending.exit_code == 1:
                reason, code, remedy = read_reason(before), _cause_of(refused["cause"]), self.remedy
                # A sentence of ours begins as it should, be it with a file's name.
                said = refused["said"][:600] if reason is not None else as_sentence(refused["said"][:600])
                return Cause(code, said, remedy.text, detail_code=reason, remedy_code=remedy.said)
        return super().diagnose(ending)


def _cause_of(word: str | None) -> CauseCode:
    """The cause of a refusal; programs of version 1.0 named none."""
    return CauseCode(word) if word in set(CauseCode) else CauseCode.MISSING_FILE
