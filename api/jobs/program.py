"""The base of the programs that supervisors run for jobs: `python -m MODULE --work DIR --run NAME [--threads N]`.

DIR is the task's output directory with the request and the results. A program reports by the messages that it prints.
It ends soon after SIGTERM, or after the file `stop` appears in its run directory NAME. When its results are complete,
it leaves a file there.
"""

# ruff: noqa: T201 - standard output is how a program reports

import argparse
import errno
import os
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from types import FrameType
from typing import ClassVar

from api.domain.reason import Reason
from api.domain.tasks.cause import CauseCode
from api.jobs.errors import JobFailed, StopRequested, stop_if
from api.jobs.kinds import DONE_FILE, STOP_FILE, STOPPED_FILE, JobKind
from api.jobs.messages import report_failure

#: Errors of a write to a full disk.
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class JobProgram(ABC):
    """One run of a job's program."""

    kind: ClassVar[JobKind]
    umask: ClassVar[int] = 0o027

    def __init__(self, work: Path, run: str, threads: int = 1) -> None:
        """`work` is the task's output directory, `run` the name of the run directory in it."""
        self.work = work
        self.threads = threads
        self.run_dir = work / run
        self.run_dir.mkdir(exist_ok=True)
        self._was_terminated = False
        signal.signal(signal.SIGTERM, self._note_signal)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._was_terminated = True

    @abstractmethod
    def execute(self) -> None:
        """Do the whole job. Raises JobFailed, StopRequested, OSError."""

    def is_stopping(self) -> bool:
        """Return whether the program was asked to stop, by a signal or a file."""
        return self._was_terminated or (self.run_dir / STOP_FILE).exists()

    def stop_if_requested(self) -> None:
        """Raise StopRequested if the program was asked to stop."""
        stop_if(self.is_stopping)

    def run(self) -> int:
        """Execute the job, report its end, and return the exit code."""
        try:
            self.execute()
        except StopRequested:
            return self._end(STOPPED_FILE, self.kind.stopped_phrase)
        except JobFailed as failure:
            return self._fail(failure)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            return self._fail(disk_full(error.strerror))
        return self._end(DONE_FILE, self.kind.completed_phrase)

    def _fail(self, failure: JobFailed) -> int:
        report_failure(failure)
        return 1

    def _end(self, name: str, phrase: str) -> int:
        draft = self.run_dir / f".{name}"
        draft.write_text("{}")
        draft.replace(self.run_dir / name)
        print(phrase, flush=True)
        return 0


def disk_full(why: str | None) -> JobFailed:
    """Return the failure for a full disk."""
    return JobFailed(
        Reason.of("There is too little disk space: {why}.", "transfer_no_space", why=why), CauseCode.DISK_FULL
    )


def main(program: type[JobProgram], description: str | None) -> int:
    """Run a program with the arguments of its command line, and return the exit code."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, required=True, help="the task's output directory")
    parser.add_argument("--run", required=True, help="the name of this run's directory in it")
    parser.add_argument("--threads", type=int, default=1, help="threads that encode videos")
    arguments = parser.parse_args()
    os.umask(program.umask)
    return program(arguments.work, arguments.run, arguments.threads).run()
