"""Read a task's log from files: bytes by offset, and their arrival times."""

import os
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from api.domain.log import LogPart, LogSpan, LogTime
from api.executors.attempt.segments import LOG_LEVELS, TIME_RECORD, read_log, segment_starts
from api.executors.executor import AttemptRef
from api.executors.records import read_lost_bytes
from api.util.files.foreign_files import open_plain

_ATTEMPTS = 3  # number of tries to read while the oldest segments are being deleted

#: Nanoseconds without a change after which a directory listing can be cached until the next change.
SETTLED_NANOSECONDS = 2 * 10**9

_BLOCK = 256 * 1024  # block size in bytes for counting newlines


class LogFiles:
    """The log of a task, which may grow, and lose its oldest segments, while it is read. A missing log is empty."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._listed: tuple[int, list[int]] | None = None  #: the directory's modification time, and its segments then

    def starts(self) -> list[int]:
        """Return the start offsets of its segments, ascending."""
        try:
            changed_at = os.stat(self.directory).st_mtime_ns
            if self._listed is not None and self._listed[0] == changed_at:
                return self._listed[1]
            listed_at = time.time_ns()
            starts = segment_starts(str(self.directory))
        except (FileNotFoundError, NotADirectoryError):
            return []
        # Another change within the same tick of the file system's clock would be invisible, so do not cache recent
        # listings.
        self._listed = (changed_at, starts) if listed_at - changed_at > SETTLED_NANOSECONDS else None
        return starts

    def first(self) -> int:
        """Return the offset of the first byte that still exists."""
        starts = self.starts()
        return starts[0] if starts else 0

    def end(self) -> int:
        """Return the offset after the last byte."""
        for _ in range(_ATTEMPTS):
            starts = self.starts()
            if not starts:
                return 0
            try:
                return starts[-1] + os.stat(self.path(starts[-1])).st_size
            except FileNotFoundError:
                continue
        return 0

    def span(self) -> LogSpan:
        """Return the current and total numbers of bytes and lines."""
        first, end = self.first(), self.end()
        return LogSpan(first, end, self.newlines_before(first), self.newlines_before(end))

    def read(self, offset: int, limit: int) -> tuple[int, bytes]:
        """Return up to `limit` bytes from `offset`, and their offset, which is later if older bytes were deleted.

        Raises OSError.
        """
        for _ in range(_ATTEMPTS):
            try:
                return read_log(str(self.directory), max(0, offset), max(0, limit), self.starts())
            except FileNotFoundError:
                continue
        return offset, b""

    def follow(self, offset: int) -> "LogFilesCursor":
        """Return a cursor that starts at this offset."""
        return LogFilesCursor(self, offset)

    def open_parts(self) -> tuple[int, tuple[LogPart, ...]]:
        """Return the offset of the first byte and all segments, opened so that none can vanish.

        Raises OSError; FileNotFoundError when the oldest segment was deleted in the meantime.
        """
        starts = self.starts()
        descriptors: list[int] = []
        try:
            descriptors.extend(open_plain(self.path(start), LOG_LEVELS) for start in starts)
            # A segment ends where the next one starts, for all readers.
            ends = [*starts, 2**63][1:]
            sizes = [os.fstat(descriptor).st_size for descriptor in descriptors]
        except OSError:
            for descriptor in descriptors:
                with suppress(OSError):
                    os.close(descriptor)
            raise
        parts = tuple(
            LogPart(descriptor, min(size, end - start))
            for descriptor, size, start, end in zip(descriptors, sizes, starts, ends, strict=True)
        )
        return (starts[0] if starts else 0), parts

    # -- times -----------------------------------------------------------------------------------------------------

    def times(self, start: int) -> Sequence[LogTime]:
        """Return the times in the segment that starts at `start`, by ascending offset; empty if it was deleted.

        If two have the same offset, the later one is valid: no bytes came between them.
        """
        with self._open_times(start) as records:
            return [] if records is None else list(records.slice(0, len(records)))

    def times_between(self, offset: int, end: int) -> list[LogTime]:
        """Return arrival times: the last one at or before `offset`, and those up to `end`, ascending."""
        starts = self.starts()
        begin = max(0, bisect_right(starts, offset) - 1)
        found: list[LogTime] = []
        for start in starts[begin:]:
            if start >= end and found:
                break
            with self._open_times(start) as records:
                if records is not None:
                    at = max(0, records.find(offset)) if start <= offset else 0
                    found += records.slice(at, records.find(max(start, end)) + 1)
        return found

    def time_at(self, offset: int) -> LogTime | None:
        """Return the last time at or before this byte, or the first one there is if the byte was deleted."""
        starts = self.starts()
        index = max(0, bisect_right(starts, offset) - 1)
        for start in reversed(starts[: index + 1]):
            with self._open_times(start) as records:
                if records is not None and len(records):
                    return records[max(0, records.find(offset))]
        return None

    def newlines_before(self, offset: int) -> int:
        """Return the number of newlines before this byte since the log began.

        For a deleted byte, return the number before the first byte that still exists.
        """
        if offset <= 0:
            return 0
        known = self.time_at(offset)
        if known is None:
            return self._count_newlines(self.first(), offset)
        return known.newlines + self._count_newlines(known.offset, offset)

    def _count_newlines(self, offset: int, end: int) -> int:
        count = 0
        while offset < end:
            began, content = self.read(offset, min(_BLOCK, end - offset))
            if not content:
                break
            count += content.count(b"\n")
            offset = began + len(content)
        return count

    def offset_at(self, at: float) -> int:
        """Return the offset of the first byte at or after this time (Unix seconds), or the end if there is none."""
        starts = self.starts()
        index = bisect_right(starts, at, key=self._began) - 1
        if index < 0:
            return starts[0] if starts else 0
        with self._open_times(starts[index]) as records:
            place = 0 if records is None else records.find_time(at)
            if records is not None and place < len(records):
                return records[place].offset
        return starts[index + 1] if index + 1 < len(starts) else self.end()

    def _began(self, start: int) -> float:
        with self._open_times(start) as records:
            return records[0].at if records is not None and len(records) else 0.0

    @contextmanager
    def _open_times(self, start: int) -> Iterator["_Times | None"]:
        try:
            handle = open_plain(self.path(start, ".times"), LOG_LEVELS)
        except FileNotFoundError:
            yield None
            return
        try:
            yield _Times(handle)
        finally:
            os.close(handle)

    def path(self, start: int, suffix: str = ".log") -> str:
        """Return the path of the segment that starts at `start`."""
        return f"{self.directory}/{start:020d}{suffix}"


class _Times(Sequence[LogTime]):
    """The time records of one segment. Each is read on access: a search needs few of up to 100,000."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._count = os.fstat(handle).st_size // TIME_RECORD.size

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> LogTime:  # type: ignore[override]
        record = os.pread(self._handle, TIME_RECORD.size, place * TIME_RECORD.size)
        if len(record) < TIME_RECORD.size:
            raise IndexError(place)
        return LogTime(*TIME_RECORD.unpack(record))

    def find(self, offset: int) -> int:
        """Return the index of the last record at or before this byte, or -1."""
        return bisect_right(range(self._count), offset, key=lambda place: self[place].offset) - 1

    def find_time(self, at: float) -> int:
        """Return the index of the first record at or after this time."""
        # Of several records with one offset the last is valid: the first may precede a long pause.
        place = bisect_right(range(self._count), at, key=lambda place: self[place].at)
        while place > 0 and self[place - 1].at >= at:
            place -= 1
        return place

    def slice(self, begin: int, end: int) -> Iterator[LogTime]:
        """Return the existing records in this range of indices."""
        size = TIME_RECORD.size
        content = os.pread(self._handle, max(0, end - begin) * size, begin * size)
        for fields in TIME_RECORD.iter_unpack(content[: len(content) // size * size]):
            yield LogTime(*fields)


class KeepsLogs:
    """The part of an executor that reads the files of supervisors: logs, and what is in none."""

    def lost_bytes(self, ref: AttemptRef) -> int | None:
        return read_lost_bytes(str(ref.directory / "runner.json"))

    def open_log(self, log_directory: Path) -> LogFiles:
        return LogFiles(log_directory)

    def read_log(self, ref: AttemptRef, offset: int, limit: int) -> tuple[int, bytes]:
        """Return up to `limit` bytes of the task's log from `offset`, and their offset.

        Raises OSError.
        """
        return LogFiles(ref.log_directory).read(offset, limit)


class LogFilesCursor:
    """Reads a log onward. It holds the current segment open, so polling needs no directory listing."""

    def __init__(self, files: LogFiles, offset: int) -> None:
        self.offset = offset
        self._files = files
        self._handle = -1
        self._start = 0

    def read(self, limit: int) -> tuple[int, bytes]:
        """Return up to `limit` more bytes and their offset, which is later if older bytes were deleted.

        Raises OSError.
        """
        content = self._read_on(limit)
        if content or (self._handle >= 0 and not self._has_lost_its_place()):
            self.offset += len(content)
            return self.offset - len(content), content
        began, content = self._files.read(self.offset, limit)
        if content:
            self._open_at(began + len(content) - 1)
            self.offset = began + len(content)
            return began, content
        return self.offset, b""

    def _read_on(self, limit: int) -> bytes:
        if self._handle < 0:
            return b""
        content = os.pread(self._handle, limit, self.offset - self._start)
        if content:
            return content
        # A segment starts where the previous one ends.
        return os.pread(self._handle, limit, 0) if self._open(self.offset) else b""

    def _has_lost_its_place(self) -> bool:
        """Return whether its segment was deleted, or cut before the current offset."""
        status = os.fstat(self._handle)
        return status.st_nlink == 0 or status.st_size < self.offset - self._start

    def _open_at(self, offset: int) -> None:
        starts = self._files.starts()
        if starts and starts[0] <= offset:
            self._open(starts[bisect_right(starts, offset) - 1])

    def _open(self, start: int) -> bool:
        try:
            handle = open_plain(self._files.path(start), LOG_LEVELS)
        except FileNotFoundError:
            return False
        if self._handle >= 0 and start == self._start and os.path.samestat(os.fstat(handle), os.fstat(self._handle)):
            os.close(handle)  # an empty segment: the same one again
            return False
        self.close()
        self._handle, self._start = handle, start
        return True

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
