"""What programs that download or push have in common: they speak by what they print, end soon after `stop` appears in
their own directory or after SIGTERM, and leave a word there when they are done.
"""

# ruff: noqa: T201 - it speaks by what it prints

import argparse
import errno
import json
import os
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from api.domain.cause import CauseCode
from api.domain.reason import Reason, Words, text_of
from api.jobs.downloads.refusal import DownloadRefused, StopAsked
from api.jobs.downloads.wish import WISH
from api.jobs.downloads.words import PROBLEM, reason_line, refusal_line
from api.util.addresses import ReachableHosts

#: What a write fails with when the disk has no room.
_FULL = (errno.ENOSPC, errno.EDQUOT)


class TransferProgram(ABC):
    """One run. `work` is the task's directory, `run` the name of the run's own directory in it."""

    completed_phrase: str
    stopped_phrase: str

    def __init__(self, work: Path, run: str) -> None:
        self.work = work
        self._run_dir = work / run
        self._run_dir.mkdir(exist_ok=True)
        self._is_told_to_stop = False
        signal.signal(signal.SIGTERM, self._note_signal)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._is_told_to_stop = True

    @abstractmethod
    def transfer(self) -> None:
        """Does all of it. Raises DownloadRefused, StopAsked, OSError."""

    def is_stopping(self) -> bool:
        """Whether it shall end: by a signal, or a file in its directory."""
        return self._is_told_to_stop or (self._run_dir / "stop").exists()

    def run(self) -> int:
        """Does what is wanted. Returns the exit code."""
        try:
            self.transfer()
            return self._leave("done.json", self.completed_phrase)
        except StopAsked:
            return self._leave("stopped.json", self.stopped_phrase)
        except DownloadRefused as refusal:
            return refuse(refusal.cause, refusal.said)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            told = Reason.of("There is too little disk space: {why}.", "transfer_no_space", why=error.strerror)
            return refuse(CauseCode.DISK_FULL, told)

    def _leave(self, name: str, phrase: str) -> int:
        draft = self._run_dir / f".{name}"
        draft.write_text("{}")
        draft.replace(self._run_dir / name)
        print(phrase, flush=True)
        return 0


def read_wish(work: Path) -> Any:
    """What is wanted, as JSON has it."""
    return json.loads((work / WISH).read_bytes())


def reachable_hosts(allowed: tuple[str, ...], endpoint: str) -> ReachableHosts:
    """Where such a program may connect to: the hub that the administrator has named may stand in the house."""
    own = urlsplit(endpoint)
    port = own.port or (443 if own.scheme == "https" else 80)
    return ReachableHosts.of(allowed).and_host(own.hostname or "", port)


def refuse(cause: CauseCode, said: Words) -> int:
    """Says why nothing can come of it; the exit code."""
    reason = reason_line(said)
    if reason is not None:
        print(reason)
    print(refusal_line(cause, _plain(text_of(said))), flush=True)
    return 1


def warn(text: str) -> None:
    """Says what went wrong and is tried again."""
    print(f"{PROBLEM}{_plain(text)}", flush=True)


def _plain(text: str) -> str:
    """What others have a say in, on one line."""
    return " ".join(text.split())[:600]


def main(program: type[TransferProgram], about: str | None) -> int:
    """Runs a program as its command line says."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--run", required=True, help="the name of this run's own directory")
    arguments = parser.parse_args()
    os.umask(0o027)
    return program(arguments.work, arguments.run).run()
