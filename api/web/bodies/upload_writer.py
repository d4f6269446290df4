"""Append the bytes of a request to the file of an upload. Called part by part in a thread."""

import errno
import hashlib
from dataclasses import dataclass
from typing import Any

from api.domain.datasets.upload import Upload
from api.errors import ChecksumMismatch, InsufficientStorage, TooLarge, Unavailable
from api.files.upload_files import UploadFile, UploadFiles

#: Algorithms of a part's checksum; tus requires SHA-1.
CHECKSUMS = ("sha256", "sha1")

#: Bytes between two checks of the free disk space.
_CHECK_BYTES = 64 * 1024 * 1024

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Checksum:
    """The expected checksum of a request's bytes."""

    algorithm: str  #: one of CHECKSUMS
    digest: bytes


class UploadWriter:
    """A request's exclusive access to an upload's file, until `finish` or `stop`."""

    def __init__(
        self, upload: Upload, file: UploadFile, files: UploadFiles, most: int, min_free: int, checksum: Checksum | None
    ) -> None:
        """`most` is the largest size of the upload, `min_free` the bytes that must stay free on the disk."""
        self.upload = upload
        self.file = file
        self._files = files
        self._most = most
        self._min_free = min_free
        self._began = file.offset
        # A small reserve is checked often, or it would be used up between two checks.
        self._check_bytes = min(_CHECK_BYTES, min_free // 4)
        self._checked_at = file.offset - self._check_bytes
        self._checksum = checksum
        self._hash: Any = None if checksum is None else hashlib.new(checksum.algorithm, usedforsecurity=False)
        if checksum is not None:
            file.doubt()

    @property
    def offset(self) -> int:
        """The present length of the upload."""
        return self.file.offset

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes. Raises TooLarge, InsufficientStorage, Unavailable; earlier bytes stay."""
        if self.offset + len(data) > self._most:
            self.file.cut(self._began)
            raise TooLarge(f"The upload is larger than {self._most:,} bytes.", data={"max_bytes": self._most})
        try:
            self._check_disk()
            self.file.append(data)
        except OSError as error:
            raise _to_service_error(error) from error
        if self._hash is not None:
            self._hash.update(data)

    def _check_disk(self) -> None:
        if self.offset - self._checked_at < self._check_bytes:
            return
        self._checked_at = self.offset
        if self._files.free_bytes() < self._min_free:
            raise OSError(errno.ENOSPC, "No space left")

    def finish(self) -> None:
        """Make the received bytes durable. Raises ChecksumMismatch after discarding them; Unavailable."""
        try:
            if self._checksum is not None and self._hash.digest() != self._checksum.digest:
                self.file.cut(self._began)
                raise ChecksumMismatch(data={"offset": self._began})
            self.file.sync()
            self.file.confirm()
        except OSError as error:
            raise _to_service_error(error) from error

    def stop(self) -> None:
        """Keep the bytes of an interrupted request; with a checksum, discard them, since it cannot be verified."""
        try:
            if self._checksum is not None:
                self.file.cut(self._began)
            self.file.sync()
        except OSError as error:
            raise _to_service_error(error) from error


def _to_service_error(error: OSError) -> InsufficientStorage | Unavailable:
    if error.errno in _FULL:
        return InsufficientStorage(
            "The disk is too full for the rest of this upload. The received bytes are stored; continue later.",
            headers={"Retry-After": "60"},
        )
    detail = f"The storage cannot be written at present ({error.strerror}). Continue this upload later."
    return Unavailable(detail, headers={"Retry-After": "5"})
