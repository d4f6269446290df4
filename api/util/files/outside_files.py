"""Read files that requests or administrators name, which may be anything, and make changes durable on disk."""

import errno
import os
import stat
from dataclasses import dataclass
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


def sync_directory(directory: Path) -> None:
    """Flush the names in this directory to disk. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


#: Maximum size of a secret file in bytes.
MOST_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class SecretFile:
    """The content of a file, and a version that changes with it."""

    content: bytes
    version: tuple[int, int, int, int]


def read_secret_file(path: Path, known: SecretFile | None = None) -> SecretFile:
    """Return the content of a file, or `known` if it has not changed.

    Links are followed, since secrets are often mounted by links. Raises OSError if the file cannot be read, is not a
    regular file, or has more than `MOST_BYTES`.
    """
    # Opening a pipe without a writer would block.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        version = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
        if known is not None and known.version == version:
            return known
        content = os.read(handle, MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES:,} bytes")
        return SecretFile(content, version)
    finally:
        os.close(handle)
