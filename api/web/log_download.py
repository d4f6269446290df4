"""A log as one file to download: all of it open, so that nothing can go while a slow client reads."""

import os
from dataclasses import dataclass

from api.domain.log import LogPart
from api.errors import Unavailable
from api.executors.executor import Log

_ATTEMPTS = 3  # to open its segments while the oldest are being removed


@dataclass(frozen=True, slots=True)
class LogDownload:
    """The bytes of a log as they are now; the one who takes it closes it."""

    name: str
    parts: tuple[LogPart, ...]
    first: int  #: the offset of its first byte in the whole log
    is_inline: bool = False  #: whether a browser is to show it instead of saving it

    @property
    def size(self) -> int:
        """The number of bytes."""
        return sum(part.size for part in self.parts)

    def read(self, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes from an offset, counted from its first byte. Raises OSError."""
        for part in self.parts:
            if offset < part.size:
                return os.pread(part.descriptor, min(limit, part.size - offset), offset)
            offset -= part.size
        return b""

    def close(self) -> None:
        """Closes the files."""
        for part in self.parts:
            os.close(part.descriptor)


def open_download(log: Log, name: str, is_inline: bool) -> LogDownload:
    """Opens all of it. Raises Unavailable when it cannot be opened."""
    for _ in range(_ATTEMPTS):
        try:
            first, parts = log.open_parts()
            return LogDownload(name, parts, first, is_inline)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Unavailable(f"The log cannot be opened: {error.strerror}.", headers={"Retry-After": "5"}) from error
    raise Unavailable("The log is being cut too quickly: ask again.", headers={"Retry-After": "1"})
