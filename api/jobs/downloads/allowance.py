"""How many bytes more a download may store: what its owner's storage quota leaves, as the service writes it down."""

import json
from collections.abc import Callable
from pathlib import Path

from api.domain.cause import CauseCode
from api.domain.reason import Reason
from api.jobs.downloads.refusal import DownloadRefused

#: The file in a task's output directory. The service replaces it about once a minute while the download runs.
ALLOWANCE = "allowance.json"


class Allowance:
    """Bounds what one run stores. `count` gives the bytes that it has stored so far."""

    def __init__(self, path: Path, count: Callable[[], int] = lambda: 0) -> None:
        self._path = path
        self._count = count
        self._written_at: int | None = None
        self._bytes: int | None = None
        self._since = 0  #: bytes that were stored when the file was written

    def require(self, more_bytes: int = 0) -> None:
        """Check that so many bytes more may be stored. Raises DownloadRefused."""
        self._read()
        if self._bytes is not None and self._count() - self._since + more_bytes > self._bytes:
            raise DownloadRefused(
                Reason.of(
                    "Your storage quota has no room for this download: delete finished trainings with their files,"
                    " or datasets; cancel the download to remove what there is of it.",
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
            return  # of an owner without a quota
        self._written_at, self._since = written_at, self._count()


def allowance_content(bytes_left: int) -> bytes:
    """Return what the file holds."""
    return json.dumps({"bytes": bytes_left}).encode()
