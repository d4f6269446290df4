"""The program that pushes: `python -m api.trainers.pushes.program --work DIR --run NAME`, under a supervisor.

DIR holds `wish.json` and the files. It speaks by what it prints, and ends soon after `stop` appears in its own
directory NAME, where it leaves a word when it is done; what came of it is in `state.json`.
"""

# ruff: noqa: T201 - it speaks by what it prints

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from huggingface_hub import get_token

from api.trainers.downloads.http import open_client
from api.trainers.downloads.refusal import DownloadRefused, StopAsked
from api.trainers.downloads.wish import STATE, WISH
from api.trainers.downloads.words import PROBLEM, REFUSED
from api.trainers.pushes.failures import OneTry
from api.trainers.pushes.progress import PushProgress
from api.trainers.pushes.publish import Publisher
from api.trainers.pushes.wish import PushWish
from api.trainers.pushes.words import COMPLETED, STOPPED
from api.utils.addresses import ReachableHosts


class PushProgram:
    """One run."""

    def __init__(self, work: Path, run: str) -> None:
        self._work = work
        self._run_dir = work / run
        self._run_dir.mkdir(exist_ok=True)
        self._wish = PushWish.from_json(json.loads((work / WISH).read_bytes()))
        # The hub that the administrator has named may stand in the house.
        own = urlsplit(self._wish.endpoint)
        port = own.port or (443 if own.scheme == "https" else 80)
        self._hosts = ReachableHosts.of((*self._wish.allowed_hosts, f"{own.hostname}:{port}"))
        self._is_told_to_stop = False
        signal.signal(signal.SIGTERM, self._note_signal)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._is_told_to_stop = True

    def is_stopping(self) -> bool:
        """Whether it shall end: by a signal, or a file in its directory."""
        return self._is_told_to_stop or (self._run_dir / "stop").exists()

    def run(self) -> int:
        """Pushes everything. Returns the exit code."""
        try:
            self._push()
        except StopAsked:
            return self._leave("stopped.json", STOPPED)
        except DownloadRefused as refusal:
            print(f"{REFUSED}{_plain(str(refusal))}", flush=True)
            return 1
        return self._leave("done.json", COMPLETED)

    def _push(self) -> None:
        token = get_token()
        if not token:
            raise DownloadRefused(
                "A push needs a token that may write: give `token`, or let the service run with HF_TOKEN."
            )
        progress = PushProgress(self._wish.files, self._work / STATE)
        progress.say(always=True)
        publisher = Publisher(
            wish=self._wish,
            token=token,
            open_client=lambda: open_client(self._hosts, OneTry),
            work=self._work,
            tell=progress.tell,
            warn=_warn,
            is_stopping=self.is_stopping,
        )
        published = publisher.run()
        if published.card_left:
            _warn("The repository has a card of its own, which stays as it is.")
        progress.finish(published.commit, published.url, is_new=published.is_new)

    def _leave(self, name: str, phrase: str) -> int:
        draft = self._run_dir / f".{name}"
        draft.write_text("{}")
        draft.replace(self._run_dir / name)
        print(phrase, flush=True)
        return 0


def _warn(text: str) -> None:
    print(f"{PROBLEM}{_plain(text)}", flush=True)


def _plain(text: str) -> str:
    """What others have a say in, on one line."""
    return " ".join(text.split())[:600]


def main() -> int:
    """Pushes what the directory says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--run", required=True, help="the name of this run's own directory")
    arguments = parser.parse_args()
    os.umask(0o027)
    return PushProgram(arguments.work, arguments.run).run()


if __name__ == "__main__":
    sys.exit(main())
