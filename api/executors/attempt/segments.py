"""A task's log on the disk: raw bytes in segments named by the offset at which they begin, each with its times."""

from __future__ import annotations

import errno
import os
import struct

from api.util.foreign_files import entries, open_directory, open_plain

TIME_RECORD = struct.Struct("<QQd")  #: offset in the log, newlines before it, Unix seconds

MOST_LOOKS = 65536  #: the most records looked at, from the end of a `.times` file, in search of a sound one

MOST_OFFSET = 2**62  #: beyond any log; with the size of a segment it still fits into 64 bits

LOG_LEVELS = 1  #: of its path that are entered without following a link; those above may be the administrator's


def segment_starts(directory: str) -> list[int]:
    """The offsets at which the segments of a log begin, ascending. Raises OSError."""
    handle = open_directory(directory, LOG_LEVELS)
    try:
        names = [entry.name for entry in entries(handle) if len(entry.name) == 24 and entry.name.endswith(".log")]
    finally:
        os.close(handle)
    starts = (int(name[:20]) for name in names if name[:20].isascii() and name[:20].isdigit())
    return sorted(start for start in starts if start <= MOST_OFFSET)


def read_log(directory: str, offset: int, limit: int, starts: list[int] | None = None) -> tuple[int, bytes]:
    """Up to `limit` bytes from `offset`, and where they begin: later when older ones are gone. Raises OSError.

    `starts` are those of its segments, where they are known.
    """
    starts = segment_starts(directory) if starts is None else starts
    begin = offset = max(offset, starts[0]) if starts else offset
    parts = []
    for start, end in zip(starts, [*starts, 2**63][1:], strict=True):
        wanted = min(limit, end - offset)
        if wanted <= 0 or offset < start:
            continue
        part = _read_part(f"{directory}/{start:020d}.log", offset - start, wanted)
        parts.append(part)
        offset, limit = offset + len(part), limit - len(part)
    return begin, b"".join(parts)


def _read_part(path: str, offset: int, limit: int) -> bytes:
    handle = open_plain(path, LOG_LEVELS)
    try:
        return os.pread(handle, max(0, min(limit, os.fstat(handle).st_size - offset)), offset)
    finally:
        os.close(handle)


def last_time(handle: int, start: int, end: int) -> tuple[int, int, int] | None:
    """The last whole record between two offsets of the log: its place in the file, its offset, the newlines before."""
    last = os.fstat(handle).st_size // TIME_RECORD.size - 1
    for place in range(last, max(-1, last - MOST_LOOKS), -1):
        offset, newlines, _ = TIME_RECORD.unpack(os.pread(handle, TIME_RECORD.size, place * TIME_RECORD.size))
        if start <= offset <= end:
            return place, offset, newlines
    return None


def count_newlines(handle: int, first: int, end: int) -> int:
    """The newlines in a part of a file; its holes, which can be of any size, are not read."""
    count = 0
    while (first := _next_data(handle, first, end)) < end and (
        part := os.pread(handle, min(65536, end - first), first)
    ):
        count += part.count(b"\n")
        first += len(part)
    return count


def _next_data(handle: int, first: int, end: int) -> int:
    """Where the file's next data after `first` begins, past a hole; `end` when there is none."""
    try:
        return os.lseek(handle, first, os.SEEK_DATA) if first < end else end
    except OSError as error:
        return end if error.errno == errno.ENXIO else first
