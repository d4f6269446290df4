"""The file with the administrator's key: read only where nobody else can read it, and written so."""

import os
import stat
from pathlib import Path

from api.config import ConfigError

#: Bytes that are read at most; a key has 59.
_MOST = 1024


def read_key_file(path: Path) -> str:
    """The text of the file, without blanks around it. Links are followed, as secrets are often mounted by them.

    Raises ConfigError when it is none, can be read by others, or cannot be read by us.
    """
    try:
        # A pipe without a writer would be waited for.
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
        return f"is open to other users ({mode}): `chmod 600 {path}`, and put a new key there"
    if found.st_uid not in (os.geteuid(), 0):
        return "belongs to another user, who could exchange the key: `chown` it"
    return None


def write_key_file(path: Path, key: str) -> None:
    """Makes the file, for its owner only. Raises ConfigError when there is one, or it cannot be made."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(f"{key}\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be made ({error.strerror})") from None


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(f"ADMIN_KEY_FILE={path} {why}")
