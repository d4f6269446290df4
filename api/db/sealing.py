"""Keeps secrets so that the database alone does not give them away: encrypted, with a key in a file beside it."""

import os
import secrets
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import orjson

from api.domain.channel import ChannelSecret
from api.files.task_files import write_private

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

#: A key is 44 characters.
_KEY_BYTES = 44

_OTHER_KEY = (
    "The secret was stored with another key than this storage has. "
    "Enter the channel's address again, or put the file with the key back."
)


class SecretUnreadable(Exception):
    """A stored secret that cannot be decrypted, or a file that holds no key. The message is shown to users."""


class Sealer:
    """Encrypts by a key that is made at first use. Servers that share a database share the file, too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._fernet: Fernet | None = None

    def seal(self, secret: ChannelSecret) -> bytes:
        """The secret, encrypted. Raises OSError."""
        return self._key().encrypt(orjson.dumps(asdict(secret)))

    def open(self, sealed: bytes) -> ChannelSecret:
        """The secret. Raises SecretUnreadable, OSError."""
        # cryptography is heavy, and only channels need it.
        from cryptography.fernet import InvalidToken  # noqa: PLC0415

        try:
            return ChannelSecret(**orjson.loads(self._key().decrypt(sealed)))
        except (InvalidToken, ValueError, TypeError) as error:
            raise SecretUnreadable(_OTHER_KEY) from error

    def _key(self) -> "Fernet":
        with self._lock:
            if self._fernet is None:
                self._fernet = self._load()
            return self._fernet

    def _load(self) -> "Fernet":
        # cryptography is heavy, and only channels need it.
        from cryptography.fernet import Fernet  # noqa: PLC0415

        if not self._path.exists():
            self._make(Fernet.generate_key())
        key = self._path.read_bytes().strip()
        if len(key) != _KEY_BYTES:
            raise SecretUnreadable(f"{self._path} is no key: put the file back that was there")
        return Fernet(key)

    def _make(self, key: bytes) -> None:
        """Another server on this storage may make one at the same time: the first one holds."""
        own = self._path.with_name(f"{self._path.name}.{secrets.token_hex(6)}")
        write_private(own, key, levels=0)
        with suppress(FileExistsError):
            os.link(own, self._path)
        own.unlink()
