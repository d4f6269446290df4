"""The files of a task's log: raw bytes in segments named by their start offset, each with a file of times."""

from __future__ import annotations

import errno
import os
import struct

from api.util.files.foreign_files import entries, open_directory, open_plain

TIME_RECORD = struct.Struct("<QQd")  #: offset in the log, newlines before it, Unix seconds

MOST_LOOKS = 65536  #: the most records that are searched, from the end of a `.times` file, for a valid one

MOST_OFFSET = 2**62  #: larger than any log; adding a segment's size still fits into 64 bits

#: number of last path components that are entered without following links; those above may be the administrator's
LOG_LEVELS = 1


def segment_starts(directory: str) -> list[int]:
    """Return the start offsets of the segments of a log, ascending.

    Raises OSError.
    """
    handle = open_directory(directory, LOG_LEVELS)
    try:
        names = [entry.name for entry in entries(handle) if len(entry.name) == 24 and entry.name.endswith(".log")]
    finally:
        os.close(handle)
    starts = (int(name[:20]) for name in names if name[:20].isascii() and name[:20].isdigit())
    return sorted(start for start in starts if start <= MOST_OFFSET)


def read_log(directory: str, offset: int, limit: int, starts: list[int] | None = None) -> tuple[int, bytes]:
    """Return up to `limit` bytes from `offset`, and their offset, which is later if older bytes were deleted.

    `starts` are the start offsets of its segments, if known. Raises OSError.
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
    """Return the last valid record between two offsets of the log: its index, its offset and the newlines before it."""
    last = os.fstat(handle).st_size // TIME_RECORD.size - 1
    for place in range(last, max(-1, last - MOST_LOOKS), -1):
        offset, newlines, _ = TIME_RECORD.unpack(os.pread(handle, TIME_RECORD.size, place * TIME_RECORD.size))
        if start <= offset <= end:
            return place, offset, newlines
    return None


def count_newlines(handle: int, first: int, end: int) -> int:
    """Return the number of newlines in a part of a file. Holes, which can have any size, are not read."""
    count = 0
    while (first := _next_data(handle, first, end)) < end and (
        part := os.pread(handle, min(65536, end - first), first)
    ):
        count += part.count(b"\n")
        first += len(part)
    return count


def _next_data(handle: int, first: int, end: int) -> int:
    """Return the position of the next data at or after `first`, or `end` if there is none."""
    try:
        return os.lseek(handle, first, os.SEEK_DATA) if first < end else end
    except OSError as error:
        return end if error.errno == errno.ENXIO else first
