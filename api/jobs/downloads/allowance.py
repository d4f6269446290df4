"""The bytes that a download may still store by its owner's quota, in a file that the service updates."""

import json
from collections.abc import Callable
from pathlib import Path

from api.domain.cause import CauseCode
from api.domain.reason import Reason
from api.jobs.errors import JobFailed

#: The file in a task's output directory. The service replaces it about once a minute while the download runs.
ALLOWANCE = "allowance.json"


class Allowance:
    """Limits what one run stores. `count` returns the bytes that it has stored so far."""

    def __init__(self, path: Path, count: Callable[[], int] = lambda: 0) -> None:
        self._path = path
        self._count = count
        self._written_at: int | None = None
        self._bytes: int | None = None
        self._since = 0  #: bytes that the run had stored when the file was read

    def require(self, more_bytes: int = 0) -> None:
        """Check that this many more bytes may be stored. Raises JobFailed."""
        self._read()
        if self._bytes is not None and self._count() - self._since + more_bytes > self._bytes:
            raise JobFailed(
                Reason.of(
                    "Your storage quota has no room for this download. Delete finished trainings with their files, or"
                    " datasets. To remove the downloaded parts, cancel the download.",
                    "download_over_quota",
                ),
                CauseCode.DISK_FULL,
            )

    def _read(self) -> None:
        try:
            written_at = self._path.stat().st_mtime_ns
            if written_at == self._written_at:
                return
            self._bytes = int(json.loads(self._path.read_bytes())["bytes"])
        except FileNotFoundError:
            return  # the owner has no quota
        self._written_at, self._since = written_at, self._count()


def allowance_content(bytes_left: int) -> bytes:
    """Return the content of the file."""
    return json.dumps({"bytes": bytes_left}).encode()
