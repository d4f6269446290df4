"""A file that comes into the store of blobs: written under a name that nobody looks for, and hashed meanwhile."""

import fcntl
import hashlib
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol

from api.domain.dataset import Blob

#: Whoever has a hard link of a blob may read it.
MODE = 0o444

#: What a compressed file begins with. No line of a manifest does.
GZIP = b"\x1f\x8b"

#: Of hashes and captions a higher level saves 7 % more, in three times the time.
_LEVEL = 3
_GZIP_FORM = 31  #: of zlib's `wbits`

PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: Gives a whole file with this hash and size its name in the store.
Put = Callable[[Path, str, int], None]


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class BlobWriter:
    """A file in the making; hashed while it is written. Leaving its `with` block without a commit removes it."""

    def __init__(self, path: Path, put: Put, *, compresses: bool = False) -> None:
        """`put` makes the whole file part of the store. With `compresses` the file is gzip, named by the hash of what
        was written before it was compressed. Raises OSError.
        """
        self._packer = zlib.compressobj(_LEVEL, wbits=_GZIP_FORM) if compresses else None
        self._path = path
        self._put = put
        self._hash: _Hash = hashlib.sha256()
        self.size_bytes = 0  #: on the disk
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | PLAIN, 0o600)
        # For as long as it is held nobody takes the file for a leftover.
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def write(self, data: bytes) -> None:
        """Appends bytes. Raises OSError."""
        self._hash.update(data)
        self._write(data if self._packer is None else self._packer.compress(data))

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._handle, rest) :]
        self.size_bytes += len(data)

    def commit(self) -> Blob:
        """Makes the file part of the store, durably. Raises OSError, and then removes it."""
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
