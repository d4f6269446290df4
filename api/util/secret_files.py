"""Files with a secret that an administrator names: a key, or a token that is renewed."""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

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
