"""Encryption of secrets in the database, with a key in a separate file."""

import os
import secrets
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import orjson

from api.domain.alerts.channel import ChannelSecret
from api.files.task_files import write_private

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

#: The length of a key in characters.
_KEY_BYTES = 44

_OTHER_KEY = "The secret was encrypted with another key. Enter it again, or restore the previous key file."


class SecretUnreadable(Exception):
    """A stored secret cannot be decrypted, or the key file is invalid. The message is shown to users."""


class Sealer:
    """Encrypts with a key that is created at first use. Servers that share a database share the key file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._fernet: Fernet | None = None

    def seal(self, secret: ChannelSecret) -> bytes:
        """Return the encrypted secret. Raises OSError."""
        return self.seal_text(orjson.dumps(asdict(secret)).decode())

    def open(self, sealed: bytes) -> ChannelSecret:
        """Return the decrypted secret. Raises SecretUnreadable, OSError."""
        try:
            return ChannelSecret(**orjson.loads(self.open_text(sealed)))
        except (ValueError, TypeError) as error:
            raise SecretUnreadable(_OTHER_KEY) from error

    def seal_text(self, text: str) -> bytes:
        """Return the encrypted text. Raises SecretUnreadable, OSError."""
        return self._key().encrypt(text.encode())

    def open_text(self, sealed: bytes) -> str:
        """Return the decrypted text. Raises SecretUnreadable, OSError."""
        # cryptography is large, and only secrets need it.
        from cryptography.fernet import InvalidToken  # noqa: PLC0415

        try:
            return self._key().decrypt(sealed).decode()
        except (InvalidToken, ValueError) as error:
            raise SecretUnreadable(_OTHER_KEY) from error

    def _key(self) -> "Fernet":
        with self._lock:
            if self._fernet is None:
                self._fernet = self._load()
            return self._fernet

    def _load(self) -> "Fernet":
        # cryptography is large, and only channels need it.
        from cryptography.fernet import Fernet  # noqa: PLC0415

        if not self._path.exists():
            self._make(Fernet.generate_key())
        key = self._path.read_bytes().strip()
        if len(key) != _KEY_BYTES:
            raise SecretUnreadable(f"{self._path} contains no valid key: restore the previous file")
        return Fernet(key)

    def _make(self, key: bytes) -> None:
        """Create the key file, unless another server on this storage creates it at the same time."""
        own = self._path.with_name(f"{self._path.name}.{secrets.token_hex(6)}")
        write_private(own, key, levels=0)
        with suppress(FileExistsError):
            os.link(own, self._path)
        own.unlink()
