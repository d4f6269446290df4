"""Open files that requests name: only regular files, whatever is at the path."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading; anything else counts as missing.

    Never waits for a pipe and never opens a device. Raises OSError, or ValueError for a text that cannot be a path.
    """
    _require_regular(os.stat(path).st_mode, path)
    # It may have been replaced by a pipe in the meantime.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _require_regular(os.fstat(handle).st_mode, path)
        return os.fdopen(handle, "rb")
    except OSError:
        os.close(handle)
        raise


def _require_regular(mode: int, path: str | Path) -> None:
    if not stat.S_ISREG(mode):
        raise FileNotFoundError(errno.ENOENT, "This is not a regular file", os.fspath(path))
