"""A log as one file to download: its segments, all open, so that none can go while a slow client reads."""

import os
from contextlib import suppress
from dataclasses import dataclass

from api.errors import Unavailable
from api.executors.log_files import LOG_LEVELS, LogFiles
from api.utils.foreign_files import open_plain

_ATTEMPTS = 3  # to open them while the oldest are being removed


@dataclass(frozen=True, slots=True)
class Part:
    """An open file of which the first `size` bytes count."""

    descriptor: int
    size: int


@dataclass(frozen=True, slots=True)
class LogDownload:
    """The bytes of a log as they are now; the one who takes it closes it."""

    name: str
    parts: tuple[Part, ...]
    first: int  #: the offset of its first byte in the whole log
    is_inline: bool = False  #: to be shown, not saved

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(part.size for part in self.parts)

    @property
    def tag(self) -> str:
        """Different whenever the bytes are."""
        return f'"{self.first:x}-{self.first + self.size:x}"'

    def read(self, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes from an offset, counted from its first byte. Raises OSError."""
        for part in self.parts:
            if offset < part.size:
                return os.pread(part.descriptor, min(limit, part.size - offset), offset)
            offset -= part.size
        return b""

    def close(self) -> None:
        """Lets go of the files."""
        for part in self.parts:
            os.close(part.descriptor)


def open_download(files: LogFiles, name: str, is_inline: bool) -> LogDownload:
    """Opens every segment. Raises Unavailable when they cannot be opened."""
    for _ in range(_ATTEMPTS):
        try:
            return _open(files, name, is_inline)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Unavailable(f"The log cannot be opened: {error.strerror}.", headers={"Retry-After": "5"}) from error
    raise Unavailable("The log is being cut too quickly: ask again.", headers={"Retry-After": "1"})


def _open(files: LogFiles, name: str, is_inline: bool) -> LogDownload:
    starts = files.starts()
    descriptors: list[int] = []
    try:
        descriptors.extend(open_plain(files.path(start), LOG_LEVELS) for start in starts)
        # A segment counts up to where the next one begins, as for every reader.
        ends = [*starts, 2**63][1:]
        sizes = [os.fstat(descriptor).st_size for descriptor in descriptors]
    except OSError:
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)
        raise
    parts = tuple(
        Part(descriptor, min(size, end - start))
        for descriptor, size, start, end in zip(descriptors, sizes, starts, ends, strict=True)
    )
    return LogDownload(name, parts, starts[0] if starts else 0, is_inline)
