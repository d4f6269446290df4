"""Media files are opened without following a link or waiting for a pipe."""

import os
import stat
from pathlib import Path
from typing import BinaryIO


class NotPlain(Exception):
    """What stands under this name is no file, or cannot be opened; the text says why."""


def open_plain(path: Path) -> BinaryIO:
    """A regular file, open for reading. Raises NotPlain."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (OSError, ValueError) as error:
        raise NotPlain(f"It cannot be opened: {getattr(error, 'strerror', None) or error}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotPlain("It is no regular file.")
    return os.fdopen(descriptor, "rb")
