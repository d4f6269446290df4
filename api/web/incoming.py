"""The bytes of one request on their way into the file of an upload. A thread of the shell calls this, part by part."""

import errno
import hashlib
from dataclasses import dataclass
from typing import Any

from api.domain.upload import Upload
from api.errors import ChecksumMismatch, InsufficientStorage, TooLarge, Unavailable
from api.files.upload_files import UploadFile, UploadFiles

#: Algorithms of a part's checksum; tus asks every server for SHA-1.
CHECKSUMS = ("sha256", "sha1")

#: Bytes between two looks at how much of the disk is free.
_LOOK_BYTES = 64 * 1024 * 1024

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of a request must have."""

    algorithm: str  #: one of CHECKSUMS
    digest: bytes


class Incoming:
    """What a request adds to an upload, whose file it holds. After `finish` or `stop` it holds it no more."""

    def __init__(
        self, upload: Upload, file: UploadFile, files: UploadFiles, most: int, min_free: int, checksum: Checksum | None
    ) -> None:
        """`most` is the size that the upload may reach, `min_free` the bytes that stay free on the disk."""
        self.upload = upload
        self.file = file
        self._files = files
        self._most = most
        self._min_free = min_free
        self._began = file.offset
        # Little that is to stay free is looked at often, or it would be written over between two looks.
        self._look_bytes = min(_LOOK_BYTES, min_free // 4)
        self._looked_at = file.offset - self._look_bytes
        self._checksum = checksum
        self._hash: Any = None if checksum is None else hashlib.new(checksum.algorithm, usedforsecurity=False)
        if checksum is not None:
            file.doubt()

    @property
    def offset(self) -> int:
        """How long the upload is now."""
        return self.file.offset

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Appends. Raises TooLarge, InsufficientStorage, Unavailable; what came before stays."""
        if self.offset + len(data) > self._most:
            self.file.cut(self._began)
            raise TooLarge(f"This is more than the {self._most:,} bytes of the upload.", data={"max_bytes": self._most})
        try:
            self._look_at_disk()
            self.file.append(data)
        except OSError as error:
            raise _told(error) from error
        if self._hash is not None:
            self._hash.update(data)

    def _look_at_disk(self) -> None:
        if self.offset - self._looked_at < self._look_bytes:
            return
        self._looked_at = self.offset
        if self._files.free_bytes() < self._min_free:
            raise OSError(errno.ENOSPC, "No space left")

    def finish(self) -> None:
        """Makes what came durable. Raises ChecksumMismatch, and then keeps none of it; Unavailable."""
        try:
            if self._checksum is not None and self._hash.digest() != self._checksum.digest:
                self.file.cut(self._began)
                raise ChecksumMismatch(data={"offset": self._began})
            self.file.sync()
            self.file.confirm()
        except OSError as error:
            raise _told(error) from error

    def stop(self) -> None:
        """Keeps what came of a request that was cut off; of one with a checksum nothing, since it cannot be told."""
        try:
            if self._checksum is not None:
                self.file.cut(self._began)
            self.file.sync()
        except OSError as error:
            raise _told(error) from error


def _told(error: OSError) -> InsufficientStorage | Unavailable:
    if error.errno in _FULL:
        return InsufficientStorage(
            "The disk has too little room for the rest of this upload: what came is kept, go on when there is more.",
            headers={"Retry-After": "60"},
        )
    detail = f"The storage cannot be written at present ({error.strerror}): go on with this upload later."
    return Unavailable(detail, headers={"Retry-After": "5"})
