"""Incomplete files of downloads: their directory, and their removal."""

import fcntl
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

#: The directory of incomplete files, below the root and so on the same file system.
INCOMING = ".incoming"

_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)


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
