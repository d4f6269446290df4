"""A log as one file to download. All segments are opened first, so that none is deleted during the download."""

import os
from dataclasses import dataclass

from api.domain.log import LogPart
from api.errors import Unavailable
from api.executors.executor import Log

_ATTEMPTS = 3  # to open the segments while the oldest are being deleted


@dataclass(frozen=True, slots=True)
class LogDownload:
    """The bytes of a log at one moment. The receiver closes it."""

    name: str
    parts: tuple[LogPart, ...]
    first: int  #: the offset of the first byte in the whole log
    is_inline: bool = False  #: whether a browser displays it instead of saving it

    @property
    def size(self) -> int:
        """The number of bytes."""
        return sum(part.size for part in self.parts)

    @property
    def tag(self) -> str:
        """The ETag, which changes with the bytes."""
        return f'"{self.first:x}-{self.first + self.size:x}"'

    def read(self, offset: int, limit: int) -> bytes:
        """Return up to `limit` bytes from an offset, relative to the first byte. Raises OSError."""
        for part in self.parts:
            if offset < part.size:
                return os.pread(part.descriptor, min(limit, part.size - offset), offset)
            offset -= part.size
        return b""

    def close(self) -> None:
        """Close the files."""
        for part in self.parts:
            os.close(part.descriptor)


def open_download(log: Log, name: str, is_inline: bool) -> LogDownload:
    """Open all segments of the log. Raises Unavailable if that fails."""
    for _ in range(_ATTEMPTS):
        try:
            first, parts = log.open_parts()
            return LogDownload(name, parts, first, is_inline)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Unavailable(f"The log cannot be opened: {error.strerror}.", headers={"Retry-After": "5"}) from error
    raise Unavailable("The log is being rotated. Try again.", headers={"Retry-After": "1"})
