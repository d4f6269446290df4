"""The program that downloads models: `python -m api.jobs.downloads.program`.

A complete file moves to its final path immediately. Parts of other files stay in `.incoming` of the models' directory,
where the next run continues them.
"""

import json
import os
import shutil
import stat
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
from huggingface_hub import get_token

from api.domain.reason import Reason
from api.domain.tasks.cause import CauseCode
from api.jobs.downloads.allowance import ALLOWANCE, INCOMING, Allowance, discard, remove_leftovers
from api.jobs.downloads.answers import name_in
from api.jobs.downloads.fetch import FetchContext, RemoteFile, fetch
from api.jobs.downloads.http import open_client, private_address
from api.jobs.downloads.hub import Hub
from api.jobs.downloads.progress import TransferProgress
from api.jobs.downloads.request import (
    ADDRESS_TOKEN,
    CANCELLED,
    STATE,
    DownloadRequest,
    UrlRequest,
    check_name,
    reachable_hosts,
    read_count,
)
from api.jobs.errors import JobFailed, StopRequested
from api.jobs.kinds import DOWNLOAD_JOB, REQUEST_FILE
from api.jobs.messages import report_warning
from api.jobs.program import JobProgram, main
from api.util.http.addresses import PrivateAddress

#: Seconds for which incomplete files are kept for later downloads.
_LEFTOVER_SECONDS = 14 * 86_400.0

#: The directory of files by URL, below the models' directory.
ADDRESSES = "downloads"


class DownloadProgram(JobProgram):
    """One run of a download."""

    kind = DOWNLOAD_JOB

    def __init__(self, work: Path, run: str, threads: int = 1) -> None:
        super().__init__(work, run, threads)
        self._request = DownloadRequest.from_json(json.loads((work / REQUEST_FILE).read_bytes()))
        self._root = Path(self._request.root)
        hosts = reachable_hosts(self._request.allowed_hosts, self._request.endpoint)
        self._client = open_client(hosts, is_stopping=self.is_stopping)
        self._progress: TransferProgress | None = None
        self._allowance = Allowance(work / ALLOWANCE, lambda: 0 if self._progress is None else self._progress.moved)

    def execute(self) -> None:
        """Download everything. Raises JobFailed, StopRequested, OSError."""
        self._make_root()
        remove_leftovers(self._root, _LEFTOVER_SECONDS)
        files = self._list()
        entries = [
            {"name": each.name, "directory": each.directory, "size": each.size, "path": None, "part": each.key}
            for each in files
        ]
        progress = self._progress = TransferProgress(entries, self.work / STATE, "downloaded", "downloading")
        progress.report(always=True)
        self._require_room(files)
        try:
            for at, file in enumerate(files):
                path = fetch(file, self._context(progress, at))
                progress.finish(at, path=str(path))
        except StopRequested:
            # The service does the same, but not for files in use by this program.
            if (self.work / CANCELLED).exists():
                discard(self._root, [file.key for file in files])
            raise

    def _make_root(self) -> None:
        """Create the models' directory. New files in it belong to the trainers' group."""
        self._root.mkdir(parents=True, exist_ok=True)
        status, group = self._root.stat(), self._request.group
        if group is not None and status.st_uid == os.geteuid() and not status.st_mode & stat.S_ISGID:
            os.chown(self._root, -1, group)
            self._root.chmod(stat.S_IMODE(status.st_mode) | 0o2050)

    def _list(self) -> list[RemoteFile]:
        hub = Hub(self._request.endpoint, get_token(), self._client, self.is_stopping, warn=report_warning)
        files = [file for request in self._request.repositories for file in hub.list_files(request)]
        return [*files, *(self._describe(request) for request in self._request.addresses)]

    def _describe(self, request: UrlRequest) -> RemoteFile:
        """Return the file at a URL, with its size and name if the server gives them. Raises JobFailed."""
        size, name = None, request.name
        token = os.environ.get(ADDRESS_TOKEN)  # noqa: TID251 - a variable of this task
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with self._client.stream("GET", request.url, headers=headers) as response:
                if response.is_success:
                    size = read_count(response.headers.get("content-length", ""))
                    name = request.name if request.is_named else self._name(response, request.name)
        except PrivateAddress as error:
            raise private_address(error) from None
        except (httpx.HTTPError, httpx.InvalidURL):
            size = None  # the fetch reports the error
        return RemoteFile(
            request.url,
            ADDRESSES,
            check_name(name),
            size,
            request.sha256,
            is_pinned=True,
            may_replace=False,
            headers=headers,
        )

    @staticmethod
    def _name(response: httpx.Response, otherwise: str) -> str:
        """Return the server's name if it is valid and not hidden, because hidden files are not scanned."""
        name = name_in(response)
        with suppress(JobFailed):
            if name and not name.startswith("."):
                return check_name(name)
        return otherwise

    def _require_room(self, files: list[RemoteFile]) -> None:
        """Check the free disk space for all missing files before the download. Raises JobFailed."""
        needed = sum(file.size or 0 for file in files if not self._exists(file))
        partial_bytes = sum(self._part_size(file) for file in files)
        self._allowance.require(needed - partial_bytes)
        free = shutil.disk_usage(self._root).free - self._request.min_free_mb * 2**20
        if needed - partial_bytes > free:
            raise JobFailed(
                Reason.of(
                    "There is too little disk space: {missing} are still missing, but {directory} has only {free}, not"
                    " counting the {kept} MB that must stay free.",
                    "download_no_room",
                    missing=_size(needed - partial_bytes),
                    free=_size(max(free, 0)),
                    directory=str(self._root),
                    kept=f"{self._request.min_free_mb:,}",
                ),
                CauseCode.DISK_FULL,
            )

    def _exists(self, file: RemoteFile) -> bool:
        path = self._root / file.directory / file.name
        return path.is_file() and path.stat().st_size == file.size

    def _part_size(self, file: RemoteFile) -> int:
        try:
            return (self._root / INCOMING / f"{file.key}.part").stat().st_size
        except OSError:
            return 0

    def _context(self, progress: TransferProgress, at: int) -> FetchContext:
        return FetchContext(
            root=self._root,
            client=self._client,
            allows_pickles=self._request.allows_pickles,
            require_allowance=self._allowance.require,
            min_free_bytes=self._request.min_free_mb * 2**20,
            report=partial(progress.update, at),
            warn=report_warning,
            is_stopping=self.is_stopping,
        )


def _size(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 10**9 else f"{size / 1e6:,.1f} MB"


if __name__ == "__main__":
    sys.exit(main(DownloadProgram, __doc__))
