"""A file that comes into the store of blobs: written under a name that nobody looks for, and hashed meanwhile."""

import fcntl
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol

from api.models.dataset import Blob

#: Whoever has a hard link of a blob may read it.
MODE = 0o444

PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: Gives a whole file with this hash and size its name in the store.
Put = Callable[[Path, str, int], None]


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class BlobWriter:
    """A file in the making; hashed while it is written. Leaving its `with` block without a commit removes it."""

    def __init__(self, path: Path, put: Put) -> None:
        """`put` makes the whole file part of the store. Raises OSError."""
        self._path = path
        self._put = put
        self._hash: _Hash = hashlib.sha256()
        self.size_bytes = 0
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | PLAIN, 0o600)
        # For as long as it is held nobody takes the file for a leftover.
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def write(self, data: bytes) -> None:
        """Appends bytes. Raises OSError."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._handle, rest) :]
        self._hash.update(data)
        self.size_bytes += len(data)

    def commit(self) -> Blob:
        """Makes the file part of the store, durably. Raises OSError, and then removes it."""
        sha256 = self._hash.hexdigest()
        try:
            os.fchmod(self._handle, MODE)
            os.fsync(self._handle)
            self._put(self._path, sha256, self.size_bytes)
        except OSError:
            self.abort()
            raise
        self._close()
        return Blob(sha256, self.size_bytes)

    def abort(self) -> None:
        """Removes what was written; nothing after a commit."""
        if self._handle >= 0:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        with suppress(OSError):
            os.close(self._handle)
        self._handle = -1

    def __enter__(self) -> "BlobWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.abort()
