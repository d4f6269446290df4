"""What a download stores: the bytes left by its owner's quota, and its incomplete files."""

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from api.domain.reason import Reason
from api.domain.tasks.cause import CauseCode
from api.jobs.errors import JobFailed

#: The file in a task's output directory. The service replaces it about once a minute while the download runs.
ALLOWANCE = "allowance.json"


#: The directory of incomplete files, below the root and so on the same file system.
INCOMING = ".incoming"

_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)


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


def remove_leftovers(root: Path, older_than_seconds: float) -> None:
    """Remove incomplete files that are not in use and were not continued for this long."""
    now = time.time()
    for path in [path for path in (root / INCOMING).glob("*") if path.suffix in (".part", ".lock")]:
        part, lock = path.with_suffix(".part"), path.with_suffix(".lock")
        with suppress(OSError):
            if abs(now - (part if part.exists() else lock).stat().st_mtime) >= older_than_seconds:
                _remove(part, lock)


def discard(root: Path, keys: Iterable[str]) -> None:
    """Remove these incomplete files unless they are in use."""
    for key in keys:
        part, lock = root / INCOMING / f"{key}.part", root / INCOMING / f"{key}.lock"
        with suppress(OSError):
            if _KEY.fullmatch(key) and (part.exists() or lock.exists()):
                _remove(part, lock)


def _remove(part: Path, lock: Path) -> None:
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
    finally:
        os.close(handle)
