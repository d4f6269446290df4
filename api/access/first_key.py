"""The administrator's first key: generated at the first start, or read from a file."""

import logging
import os
import stat
from pathlib import Path

from api.access.store import CredentialStore
from api.config import ConfigError
from api.domain.access.audit import SERVICE, RequestNote, noting
from api.domain.access.principal import AccessKey, Permission, Role
from api.errors import KeyEnded
from api.util.clock import Clock
from api.util.text.key_format import hash_of, key_id_of, new_key

logger = logging.getLogger(__name__)

#: The user to whom the first key belongs.
ADMINISTRATOR = "admin"

#: The command that creates a key if no administrator's key is left.
MAKE_ONE = "python -m api key new --name NAME --role admin"


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


class FirstKey:
    """Ensures that a service that requires keys has an administrator's key."""

    def __init__(self, store: CredentialStore, clock: Clock, file: Path | None) -> None:
        """`file` contains the key; None: generate one and show it."""
        self._store = store
        self._clock = clock
        self._file = file

    def provide(self) -> str | None:
        """Return a new key to show once; None if there are keys already or a file contains the key.

        Raises ConfigError if the file does not contain a usable key.
        """
        made = None
        with noting(RequestNote(self._clock.now(), SERVICE, "first key", is_change=True)):
            if self._file is not None:
                self._take(self._file)
            elif self._store.count() == 0:
                made = self._make()
        if not any(self._is_administrator(key) for key in self._store.list()):
            logger.warning("no administrator's key is active; create one with `%s`", MAKE_ONE)
        return made

    def _make(self) -> str | None:
        key_id, key = new_key()
        # Of two servers that start at the same time, one shows a key.
        return key if self._store.add_first(self._describe(key_id, "first start"), hash_of(key)) else None

    def _take(self, file: Path) -> None:
        key = read_key_file(file)
        key_id = key_id_of(key)
        if key_id is None:
            raise ConfigError(f"ADMIN_KEY_FILE={file} contains no key: write one with `python -m api key file PATH`")
        has_others = self._store.count() > 0
        try:
            is_new = self._store.add_given(self._describe(key_id, "ADMIN_KEY_FILE"), hash_of(key))
        except KeyEnded as error:
            raise ConfigError(f"ADMIN_KEY_FILE={file} cannot be used: {error.detail} Put a new key there") from None
        if is_new and has_others:
            logger.warning(
                "ADMIN_KEY_FILE contains a new key, which is now active; revoke the previous one",
                extra={"key_id": key_id},
            )
        elif is_new:
            logger.info("the key in ADMIN_KEY_FILE is the first key", extra={"key_id": key_id})
        elif not self._is_administrator(self._store.get(key_id)):
            logger.warning(
                "the key in ADMIN_KEY_FILE is revoked, expired or not an administrator's: put a new one there",
                extra={"key_id": key_id},
            )

    def _describe(self, key_id: str, by: str) -> AccessKey:
        return AccessKey(key_id, ADMINISTRATOR, "administrator", Role.ADMIN, None, self._clock.now(), by)

    def _is_administrator(self, key: AccessKey) -> bool:
        return key.granted == frozenset(Permission) and key.holds(self._clock.now())
