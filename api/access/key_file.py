"""The file with the administrator's key: accepted and written with access for its owner only."""

import os
import stat
from pathlib import Path

from api.config import ConfigError

#: The most bytes that are read; a key has 59.
_MOST = 1024


def read_key_file(path: Path) -> str:
    """Return the text of the file without surrounding whitespace.

    Links are followed, since secrets are often mounted as links. Raises ConfigError if it is not a plain file, is
    accessible to other users, or is unreadable.
    """
    try:
        # Without O_NONBLOCK, opening a pipe without a writer would block.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror})") from None
    try:
        why = _why_not_ours(path, os.fstat(handle))
        if why is not None:
            raise _unusable(path, why)
        return os.read(handle, _MOST).decode(errors="replace").strip()
    finally:
        os.close(handle)


def _why_not_ours(path: Path, found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "is no plain file"
    if found.st_mode & 0o077:
        mode = f"mode {stat.S_IMODE(found.st_mode):04o}"
        return f"is accessible to other users ({mode}): run `chmod 600 {path}` and put a new key there"
    if found.st_uid not in (os.geteuid(), 0):
        return "belongs to another user, who could replace the key: change its owner with `chown`"
    return None


def write_key_file(path: Path, key: str) -> None:
    """Create the file with access for its owner only. Raises ConfigError if it exists or cannot be created."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(f"{key}\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be created ({error.strerror})") from None


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(f"ADMIN_KEY_FILE={path} {why}")
