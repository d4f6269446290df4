"""What the service's own programs have in common by the seam of the trainers: each attempt has a directory of its own
below the task's, where a file asks it to stop, and where it leaves a word when it is whole.
"""

from dataclasses import replace
from pathlib import Path

import api
from api.domain.cause import Cause
from api.domain.training import Checkpoint, TrainingRequest
from api.errors import Mistake
from api.trainers.protocol.diagnosis import diagnose
from api.trainers.trainer import Ending, Launch
from api.util.clock import time_of
from api.util.foreign_files import status_of
from api.util.foreign_trees import list_names
from api.util.formatting import as_sentence

#: Where the package lies, for a program that is started in another directory.
PACKAGE = Path(api.__file__).resolve().parents[1]

#: What a program leaves in its run directory: everything is done, or it was asked to stop.
_LEFT = ("done.json", "stopped.json")

_RUN = "run_"
_MOST_DIGITS = 9


def run_of(launch: Launch) -> str:
    """The name of an attempt's run directory."""
    return f"{_RUN}{launch.directory.name}"


class OwnProgram:
    """Looks after a program that comes with the service; what it executes is said by those who derive from this."""

    model_types: frozenset[str] = frozenset()  #: nobody asks for it by a type
    stopped_phrase: str

    def problems(self) -> tuple[Mistake, ...]:
        """No problems, ever: it comes with the service."""
        return ()

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        """The request as it is: it holds none."""
        return request

    def find_run_dir(self, output_dir: Path) -> Path | None:
        """The directory of the latest attempt; None until it has made one. Raises OSError."""
        names = list_names(str(output_dir), levels=2)[0]
        numbers = [name.removeprefix(_RUN) for name in names if name.startswith(_RUN)]
        known = [int(each) for each in numbers if each.isascii() and each.isdigit() and len(each) <= _MOST_DIGITS]
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
        """A file that it does not look for: everything it makes is kept at once."""
        return run_dir / "save"

    def prepare_resume(self, run_dir: Path, checkpoint: str | None) -> None:
        """Changes nothing: what is there is found by its name or hash."""

    def prune(self, run_dir: Path, keep: int) -> tuple[str, ...]:
        """Removes nothing: no name is of something that a later one replaces."""
        return ()

    def diagnose(self, ending: Ending) -> Cause:
        """Why an attempt failed."""
        found = diagnose(ending, stopped_phrase=self.stopped_phrase)
        return replace(found, detail=as_sentence(found.detail), remedy=as_sentence(found.remedy))
