"""The program that downloads: `python -m api.trainers.downloads.program --work DIR --run NAME`, under a supervisor.

DIR holds `wish.json`; a file that is whole goes to its place at once, what there is of others stays in `.incoming` of
the models' directory, where the next run goes on. It speaks by what it prints, and ends soon after `stop` appears in
its own directory NAME, where it leaves a word when it is done.
"""

# ruff: noqa: T201 - it speaks by what it prints

import argparse
import json
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import httpx
from huggingface_hub import get_token

from api.trainers.downloads.fetch import INCOMING, Around, RemoteFile, fetch, remove_leftovers
from api.trainers.downloads.http import open_client
from api.trainers.downloads.hub import Hub
from api.trainers.downloads.names import check_name
from api.trainers.downloads.progress import DownloadProgress
from api.trainers.downloads.refusal import DownloadRefused, StopAsked
from api.trainers.downloads.wish import STATE, WISH, AddressWish, DownloadWish
from api.trainers.downloads.words import COMPLETED, PROBLEM, REFUSED, STOPPED
from api.utils.addresses import PrivateAddress, ReachableHosts

#: For how long what is there of a file is kept for whoever goes on with it.
_KEPT_SECONDS = 14 * 86_400.0

#: Where a file that has an address and no repository goes, below the models' directory.
ADDRESSES = "downloads"


class DownloadProgram:
    """One run over all that is wanted."""

    def __init__(self, work: Path, run: str) -> None:
        self._work = work
        self._run_dir = work / run
        self._run_dir.mkdir(exist_ok=True)
        self._wish = DownloadWish.from_json(json.loads((work / WISH).read_bytes()))
        self._root = Path(self._wish.root)
        # The hub that the administrator has named may stand in the house.
        own = urlsplit(self._wish.endpoint)
        port = own.port or (443 if own.scheme == "https" else 80)
        self._client = open_client(ReachableHosts.of((*self._wish.allowed_hosts, f"{own.hostname}:{port}")))
        self._is_told_to_stop = False
        signal.signal(signal.SIGTERM, self._note_signal)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._is_told_to_stop = True

    def is_stopping(self) -> bool:
        """Whether it shall end: by a signal, or a file in its directory."""
        return self._is_told_to_stop or (self._run_dir / "stop").exists()

    def run(self) -> int:
        """Downloads everything. Returns the exit code."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._root, _KEPT_SECONDS)
            files = self._list()
            progress = DownloadProgress(files, self._work / STATE)
            progress.say(always=True)
            self._require_room(files)
            for at, file in enumerate(files):
                path = fetch(file, self._around(progress, at))
                progress.finish(at, str(path))
        except StopAsked:
            return self._leave("stopped.json", STOPPED)
        except DownloadRefused as refusal:
            print(f"{REFUSED}{_plain(str(refusal))}", flush=True)
            return 1
        return self._leave("done.json", COMPLETED)

    def _list(self) -> list[RemoteFile]:
        hub = Hub(self._wish.endpoint, get_token(), self._client)
        files = [file for wish in self._wish.repositories for file in hub.list_files(wish)]
        return [*files, *(self._ask(wish) for wish in self._wish.addresses)]

    def _ask(self, wish: AddressWish) -> RemoteFile:
        """The file at an address, with its length where the server tells it. Raises DownloadRefused."""
        size = None
        try:
            with self._client.stream("GET", wish.url) as response:
                length = response.headers.get("content-length", "")
                size = int(length) if response.is_success and length.isdigit() else None
        except PrivateAddress as error:
            raise DownloadRefused(f"{error}.") from None
        except (httpx.HTTPError, httpx.InvalidURL):
            size = None  # whether it can be had shows when it is fetched
        return RemoteFile(wish.url, ADDRESSES, check_name(wish.name), size, wish.sha256, is_pinned=True)

    def _require_room(self, files: list[RemoteFile]) -> None:
        """Whether the disk has room for all that is missing, before anything comes. Raises DownloadRefused."""
        needed = sum(file.size or 0 for file in files if not self._is_there(file))
        there = sum(self._part_size(file) for file in files)
        free = shutil.disk_usage(self._root).free - self._wish.min_free_mb * 2**20
        if needed - there > free:
            raise DownloadRefused(
                f"There is too little disk space: {(needed - there) / 1e9:,.1f} GB are missing of it, and"
                f" {max(free, 0) / 1e9:,.1f} GB are free in {self._root}."
            )

    def _is_there(self, file: RemoteFile) -> bool:
        place = self._root / file.directory / file.name
        return place.is_file() and place.stat().st_size == file.size

    def _part_size(self, file: RemoteFile) -> int:
        try:
            return (self._root / INCOMING / f"{file.key}.part").stat().st_size
        except OSError:
            return 0

    def _around(self, progress: DownloadProgress, at: int) -> Around:
        return Around(
            root=self._root,
            client=self._client,
            allows_pickles=self._wish.allows_pickles,
            tell=partial(progress.tell, at),
            warn=lambda text: print(f"{PROBLEM}{_plain(text)}", flush=True),
            is_stopping=self.is_stopping,
        )

    def _leave(self, name: str, phrase: str) -> int:
        draft = self._run_dir / f".{name}"
        draft.write_text("{}")
        draft.replace(self._run_dir / name)
        print(phrase, flush=True)
        return 0


def _plain(text: str) -> str:
    """What others have a say in, on one line."""
    return " ".join(text.split())[:600]


def main() -> int:
    """Downloads what the directory says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--run", required=True, help="the name of this run's own directory")
    arguments = parser.parse_args()
    os.umask(0o027)
    return DownloadProgram(arguments.work, arguments.run).run()


if __name__ == "__main__":
    sys.exit(main())
