"""What there is of files that are not whole: where it lies, and how it goes when nobody goes on with it."""

import fcntl
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

#: Where files lie until they are whole, below the root: on its file system, and under names that nobody looks for.
INCOMING = ".incoming"

_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)


def remove_leftovers(root: Path, older_than_seconds: float) -> None:
    """Removes what is there of files that nobody has gone on with for so long, unless somebody is at it now."""
    now = time.time()
    for path in [path for path in (root / INCOMING).glob("*") if path.suffix in (".part", ".lock")]:
        part, lock = path.with_suffix(".part"), path.with_suffix(".lock")
        with suppress(OSError):
            if abs(now - (part if part.exists() else lock).stat().st_mtime) >= older_than_seconds:
                _remove(part, lock)


def discard(root: Path, keys: Iterable[str]) -> None:
    """Removes what is there of these files, unless somebody is at it now."""
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
