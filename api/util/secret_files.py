"""Files with a secret that an administrator names: a key, or a token that somebody renews."""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

#: The most bytes of such a file.
MOST_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class SecretFile:
    """What a file held, and by which it is known whether it has been changed since."""

    content: bytes
    version: tuple[int, int, int, int]


def read_secret_file(path: Path, known: SecretFile | None = None) -> SecretFile:
    """What the file holds; `known` where it has not changed since. Links are followed, as secrets are often mounted so.

    Raises OSError where it cannot be read, is no plain file, or has more than `MOST_BYTES`.
    """
    # A pipe without a writer would be waited for.
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
