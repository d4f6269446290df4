"""The program that downloads: `python -m api.jobs.downloads.program --work DIR --run NAME`, under a supervisor.

DIR holds `wish.json`; a file that is whole goes to its place at once, what there is of others stays in `.incoming` of
the models' directory, where the next run goes on. It speaks by what it prints, and ends soon after `stop` appears in
its own directory NAME, where it leaves a word when it is done.
"""

import os
import shutil
import stat
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
from huggingface_hub import get_token

from api.domain.cause import CauseCode
from api.domain.reason import Reason
from api.jobs.downloads.allowance import ALLOWANCE, Allowance
from api.jobs.downloads.answers import name_in
from api.jobs.downloads.fetch import Around, RemoteFile, fetch
from api.jobs.downloads.http import open_client
from api.jobs.downloads.hub import Hub
from api.jobs.downloads.leftovers import INCOMING, discard, remove_leftovers
from api.jobs.downloads.names import check_name, read_count
from api.jobs.downloads.progress import DownloadProgress
from api.jobs.downloads.refusal import DownloadRefused, StopAsked, private_address
from api.jobs.downloads.transferring import TransferProgram, main, reachable_hosts, read_wish, warn
from api.jobs.downloads.wish import ADDRESS_TOKEN, CANCELLED, STATE, AddressWish, DownloadWish
from api.jobs.downloads.words import COMPLETED, STOPPED
from api.util.addresses import PrivateAddress

#: For how long what is there of a file is kept for whoever goes on with it.
_KEPT_SECONDS = 14 * 86_400.0

#: Where a file that has an address and no repository goes, below the models' directory.
ADDRESSES = "downloads"


class DownloadProgram(TransferProgram):
    """One run over all that is wanted."""

    completed_phrase, stopped_phrase = COMPLETED, STOPPED

    def __init__(self, work: Path, run: str) -> None:
        super().__init__(work, run)
        self._wish = DownloadWish.from_json(read_wish(work))
        self._root = Path(self._wish.root)
        hosts = reachable_hosts(self._wish.allowed_hosts, self._wish.endpoint)
        self._client = open_client(hosts, is_stopping=self.is_stopping)
        self._progress: DownloadProgress | None = None
        self._allowance = Allowance(work / ALLOWANCE, lambda: 0 if self._progress is None else self._progress.moved)

    def transfer(self) -> None:
        """Downloads everything. Raises DownloadRefused, StopAsked, OSError."""
        self._make_root()
        remove_leftovers(self._root, _KEPT_SECONDS)
        files = self._list()
        progress = self._progress = DownloadProgress(files, self.work / STATE)
        progress.say(always=True)
        self._require_room(files)
        try:
            for at, file in enumerate(files):
                path = fetch(file, self._around(progress, at))
                progress.finish(at, str(path))
        except StopAsked:
            # The service does this, too, and cannot while this is at a file.
            if (self.work / CANCELLED).exists():
                discard(self._root, [file.key for file in files])
            raise

    def _make_root(self) -> None:
        """Makes the models' directory; what is made in it is of the group of those who train."""
        self._root.mkdir(parents=True, exist_ok=True)
        status, group = self._root.stat(), self._wish.group
        if group is not None and status.st_uid == os.geteuid() and not status.st_mode & stat.S_ISGID:
            os.chown(self._root, -1, group)
            self._root.chmod(stat.S_IMODE(status.st_mode) | 0o2050)

    def _list(self) -> list[RemoteFile]:
        hub = Hub(self._wish.endpoint, get_token(), self._client, self.is_stopping, warn=warn)
        files = [file for wish in self._wish.repositories for file in hub.list_files(wish)]
        return [*files, *(self._ask(wish) for wish in self._wish.addresses)]

    def _ask(self, wish: AddressWish) -> RemoteFile:
        """The file at an address, with its length and name where the server gives them. Raises DownloadRefused."""
        size, name = None, wish.name
        token = os.environ.get(ADDRESS_TOKEN)  # noqa: TID251 - a variable of this task
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with self._client.stream("GET", wish.url, headers=headers) as response:
                if response.is_success:
                    size = read_count(response.headers.get("content-length", ""))
                    name = wish.name if wish.is_named else self._name(response, wish.name)
        except PrivateAddress as error:
            raise private_address(error) from None
        except (httpx.HTTPError, httpx.InvalidURL):
            size = None  # whether it can be had shows when it is fetched
        return RemoteFile(
            wish.url,
            ADDRESSES,
            check_name(name),
            size,
            wish.sha256,
            is_pinned=True,
            may_replace=False,
            headers=headers,
        )

    @staticmethod
    def _name(response: httpx.Response, otherwise: str) -> str:
        """The name that the server gives, if it can be one; the scan of models does not look at hidden files."""
        name = name_in(response)
        with suppress(DownloadRefused):
            if name and not name.startswith("."):
                return check_name(name)
        return otherwise

    def _require_room(self, files: list[RemoteFile]) -> None:
        """Whether the disk has room for all that is missing, before anything comes. Raises DownloadRefused."""
        needed = sum(file.size or 0 for file in files if not self._is_there(file))
        there = sum(self._part_size(file) for file in files)
        self._allowance.require(needed - there)
        free = shutil.disk_usage(self._root).free - self._wish.min_free_mb * 2**20
        if needed - there > free:
            raise DownloadRefused(
                Reason.of(
                    "There is too little disk space: {missing} are still to come, and {free} are free in {directory}"
                    " beside the {kept} MB that stay free.",
                    "download_no_room",
                    missing=_size(needed - there),
                    free=_size(max(free, 0)),
                    directory=str(self._root),
                    kept=f"{self._wish.min_free_mb:,}",
                ),
                CauseCode.DISK_FULL,
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
            require_allowance=self._allowance.require,
            min_free_bytes=self._wish.min_free_mb * 2**20,
            tell=partial(progress.tell, at),
            warn=warn,
            is_stopping=self.is_stopping,
        )


def _size(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 10**9 else f"{size / 1e6:,.1f} MB"


if __name__ == "__main__":
    sys.exit(main(DownloadProgram, __doc__))
