"""A file that is being added to the blob store: written under a temporary name, and hashed meanwhile."""

import fcntl
import hashlib
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol

from api.domain.datasets.dataset import Blob

#: Permissions of a blob: readable by every user who has a hard link to it.
MODE = 0o444

#: First bytes of a compressed file. No line of a manifest starts with them.
GZIP = b"\x1f\x8b"

#: Compression level: a higher level saves 7 % of hashes and captions, and takes three times as long.
_LEVEL = 3
_GZIP_FORM = 31  #: value of zlib's `wbits`

PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: Moves a complete file with this hash and size to its name in the store.
Put = Callable[[Path, str, int], None]


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class BlobWriter:
    """A file in the making, hashed while it is written. Leaving its `with` block without a commit deletes it."""

    def __init__(self, path: Path, put: Put, *, compresses: bool = False) -> None:
        """Create the file. `put` moves the complete file into the store.

        With `compresses` the file is gzip; its name is the hash of the uncompressed content. Raises OSError.
        """
        self._packer = zlib.compressobj(_LEVEL, wbits=_GZIP_FORM) if compresses else None
        self._path = path
        self._put = put
        self._hash: _Hash = hashlib.sha256()
        self.size_bytes = 0  #: bytes on the disk
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | PLAIN, 0o600)
        # While the lock is held, no sweep removes the file.
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def write(self, data: bytes) -> None:
        """Append bytes. Raises OSError."""
        self._hash.update(data)
        self._write(data if self._packer is None else self._packer.compress(data))

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._handle, rest) :]
        self.size_bytes += len(data)

    def commit(self) -> Blob:
        """Add the file to the store durably. Raises OSError and deletes the file."""
        sha256 = self._hash.hexdigest()
        try:
            if self._packer is not None:
                self._write(self._packer.flush())
            os.fchmod(self._handle, MODE)
            os.fsync(self._handle)
            self._put(self._path, sha256, self.size_bytes)
        except OSError:
            self.abort()
            raise
        self._close()
        return Blob(sha256, self.size_bytes)

    def abort(self) -> None:
        """Delete what was written; after a commit do nothing."""
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
