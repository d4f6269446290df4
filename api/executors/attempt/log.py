"""Write a task's log."""

from __future__ import annotations

import errno
import os
import time

from api.util.files.foreign_files import close, make_directory, open_own, open_plain, remove, write_all

from .ledger import UNKNOWN, Ledger
from .segments import LOG_LEVELS, TIME_RECORD, count_newlines, last_time, read_log, segment_starts
from .small_files import truncate

CHUNK = 128 * 1024  #: bytes taken from the output at a time
TAIL_BYTES = 256 * 1024  #: read again by a supervisor that takes over
RETRY_SECONDS = 1.0
FULL = "the disk was full"
RECORD_SECONDS = 0.01
#: size of a `.times` file above which a segment that grows by single bytes gets one record per second
DENSE_BYTES = 2**20


class LogWriter:
    """Appends to the log of a task: segments named by their start offset, each with a file of times.

    A full disk is not an error. Output that cannot be written stays in its source, or is dropped and counted.
    """

    def __init__(self, directory: str, max_bytes: int, segment_bytes: int, ledger: Ledger | None = None) -> None:
        self.must_drop = False  #: the rest of the disk is needed elsewhere: output is dropped instead of waiting
        self.began: int | None = None  #: the offset at which this writer started
        self._ledger = ledger or Ledger()
        self._directory = directory
        self._max_bytes = max_bytes
        # Small enough to keep the limit by removing whole segments.
        self._segment_bytes = max(1, min(segment_bytes, max_bytes // 4))
        self._chunk = min(CHUNK, max(4096, self._segment_bytes))
        self._starts: list[int] = []
        self._size = 0  # of the last segment
        self._newlines = 0
        self._ends_line = True
        self._log = self._times = -1
        self._times_size = 0
        self._recorded_at = 0.0
        self._why = "the log could not be written"
        self._retry_at = 0.0
        self._can_splice = hasattr(os, "splice")

    @property
    def lost_bytes(self) -> int:
        """The bytes of this attempt's output that were dropped."""
        return self._ledger.lost

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self._starts[-1] + self._size if self._starts else 0

    def start_of(self, recorded: int | None) -> int | None:
        """Return where an attempt's part of the log starts, given the recorded offset; None if unknown."""
        if recorded is None or self.began is None:
            return recorded if self.began is None else self.began
        return min(max(0, recorded), self.began)

    @property
    def _known_end(self) -> int:
        return self.end if self._log >= 0 else UNKNOWN

    def open(self) -> None:
        """Continue at the end of the log, and repair what a crash left incomplete.

        Raises OSError.
        """
        try:
            self._open()
        except OSError:
            self._let_go()
            raise
        self.began = self.end if self.began is None else self.began

    def _open(self) -> None:
        make_directory(self._directory, LOG_LEVELS)
        self._starts = segment_starts(self._directory)
        if not self._starts:
            self._begin(0, b"")
            self._ledger.settle(0)
            return
        start = self._starts[-1]
        if len(self._starts) > 1:
            self._cut(self._starts[-2], start)
        self._log = open_own(self._path(start, ".log"), os.O_RDWR, LOG_LEVELS)
        self._times = open_own(self._path(start, ".times"), os.O_RDWR, LOG_LEVELS)
        self._size = os.fstat(self._log).st_size
        settled = self._ledger.settle(self.end)
        if settled < self.end:
            os.ftruncate(self._log, settled - start)
            self._size = settled - start
        self._ends_line = self._size == 0 or os.pread(self._log, 1, self._size - 1) == b"\n"
        self._recorded_at = 0.0
        self._resume_times(start)

    def _resume_times(self, start: int) -> None:
        last = last_time(self._times, start, self.end)
        self._times_size = 0 if last is None else (last[0] + 1) * TIME_RECORD.size
        os.ftruncate(self._times, self._times_size)
        self._newlines = self._newlines_before(start) if last is None else last[2]
        if last is None:
            self._record(start, os.fstat(self._log).st_mtime)
        offset = start if last is None else last[1]
        self._newlines += count_newlines(self._log, offset - start, self._size)

    def _newlines_before(self, start: int) -> int:
        """Return the newlines before the last segment, from the times of the previous one."""
        if len(self._starts) < 2:
            return 0
        previous = self._starts[-2]
        log = times = -1
        try:
            log = open_plain(self._path(previous, ".log"), LOG_LEVELS)
            times = open_own(self._path(previous, ".times"), os.O_RDWR, LOG_LEVELS)
            _, offset, newlines = last_time(times, previous, start) or (0, previous, 0)
            return newlines + count_newlines(log, offset - previous, start - previous)
        finally:
            self._close(log, times)

    def _cut(self, start: int, end: int) -> None:
        path = self._path(start, ".log")
        handle = open_own(path, os.O_RDWR, LOG_LEVELS)
        try:
            if os.fstat(handle).st_size > end - start:
                os.ftruncate(handle, end - start)
        finally:
            os.close(handle)

    def _path(self, start: int, suffix: str) -> str:
        return f"{self._directory}/{start:020d}{suffix}"

    def take(self, source: int) -> bytes:
        """Move at most one chunk from the pipe to the log. Return its bytes, even if they were dropped."""
        try:
            if not self._is_writable():
                return self._drop(os.read(source, self._chunk))
            if self._can_splice:
                return self._splice(source)
            data = os.read(source, self._chunk)
        except BlockingIOError:
            return b""
        self._append(data)
        return data

    def write(self, data: bytes) -> None:
        """Append the data. Bytes that the disk does not accept are dropped and counted."""
        self.offer(data, may_wait=False)

    def offer(self, data: bytes, may_wait: bool) -> int:
        """Append the data; return how many bytes were processed.

        With `may_wait` the caller offers the rest again. Otherwise the rest is dropped and counted, and so processed,
        too.
        """
        before = self._ledger.taken
        if self._is_writable():
            data = data[self._put(data) :]
        if data and (self.must_drop or not may_wait):
            self._drop(data)
        return self._ledger.taken - before

    def _splice(self, source: int) -> bytes:
        """Move the bytes inside the kernel, so that no kill can happen between reading and writing them."""
        self._record_now()
        try:
            moved = os.splice(source, self._log, self._chunk, offset_dst=self._size, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOSYS, errno.EPERM):
                self._can_splice = False  # not supported by this file system
                return self.take(source)
            self._fail(error)
            return self._drop(os.read(source, self._chunk))
        data = self._read_back(moved)
        self._ledger.taken += moved
        self._grew(data)
        return data

    def _read_back(self, count: int) -> bytes:
        try:
            return os.pread(self._log, count, self._size).ljust(count, b"\0")
        except OSError:
            return bytes(count)  # a broken disk: the count must still equal the bytes moved

    def _append(self, data: bytes) -> None:
        """Write the data; drop what the disk does not accept."""
        if rest := data[self._put(data) :]:
            self._drop(rest)

    def _put(self, data: bytes) -> int:
        """Write as much as the disk accepts; return the number of bytes."""
        self._record_now()
        done = 0
        while done < len(data):
            try:
                written = os.pwrite(self._log, data[done:], self._size)
            except OSError as error:
                self._fail(error)
                break
            self._ledger.taken += written
            self._grew(data[done : done + written])
            done += written
        return done

    def _is_writable(self) -> bool:
        if self.must_drop:
            self._why = FULL
            return False
        if time.monotonic() < self._retry_at:
            return False
        if self._log >= 0 and not self._ledger.unreported:
            return True
        try:
            if self._log < 0:
                self.open()
            if self._ledger.unreported:
                self._write_loss_line()
        except OSError as error:
            self._fail(error)
            return False
        return True

    def report_losses(self) -> None:
        """Write the line about lost bytes to the log, if there are any and the disk accepts it."""
        if self._ledger.unreported:
            self._is_writable()

    def skip(self, count: int, why: str) -> None:
        """Count this many bytes of the output as lost, for the reason `why`."""
        self._why = why
        self._ledger.drop(count, self._known_end)

    def note_taken(self) -> None:
        """Record how much output was processed, before its blocks are freed."""
        self._ledger.save(self._known_end)

    def _write_loss_line(self) -> None:
        start = b"" if self._ends_line else b"\n"
        line = start + f"[{self._ledger.unreported} bytes of output were lost: {self._why}]\n".encode()
        self._ledger.begin_line(self.end, len(line))
        try:
            write_all(self._log, line, self._size)
        except OSError:
            truncate(self._log, self._size)
            self._ledger.save(self.end)
            raise
        self._record_now()
        self._ledger.unreported = 0
        self._ledger.save(self.end + len(line))
        self._grew(line)

    def _fail(self, error: OSError) -> None:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        self._why = FULL if is_full else error.strerror or "they could not be written"
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def _drop(self, data: bytes) -> bytes:
        self._ledger.drop(len(data), self._known_end)
        return data

    def _grew(self, data: bytes) -> None:
        if not data:
            return
        self._size += len(data)
        self._newlines += data.count(b"\n")
        self._ends_line = data.endswith(b"\n")
        if self._size >= self._segment_bytes:
            self._roll(data)
        while len(self._starts) > 1 and self.end - self._starts[0] > self._max_bytes:
            oldest = self._starts.pop(0)
            remove(self._path(oldest, ".log"), LOG_LEVELS)
            remove(self._path(oldest, ".times"), LOG_LEVELS)

    def _roll(self, data: bytes) -> None:
        """Start a segment after the last newline; without one, after the last byte once that is urgent."""
        cut = data.rfind(b"\n") + 1
        if not cut and self._size < self._segment_bytes + self._segment_bytes // 4:
            return
        tail = data[cut:] if cut else b""
        try:
            self._begin(self.end - len(tail), tail)
        except OSError:
            return  # the segment grows on; the next output tries again

    def _begin(self, start: int, tail: bytes) -> None:
        times = log = -1
        new = self._path(start, ".new")
        try:
            times = open_own(self._path(start, ".times"), os.O_RDWR, LOG_LEVELS)
            os.ftruncate(times, 0)
            write_all(times, TIME_RECORD.pack(start, self._newlines, time.time()), 0)
            log = open_own(new, os.O_RDWR, LOG_LEVELS)
            os.ftruncate(log, 0)
            write_all(log, tail, 0)
            os.rename(new, self._path(start, ".log"))
        except OSError:
            self._close(times, log)
            remove(new, LOG_LEVELS)
            remove(self._path(start, ".times"), LOG_LEVELS)
            raise
        # After a crash at this point the tail is in both segments; readers stop at the start of the later one.
        if self._starts and tail:
            truncate(self._log, start - self._starts[-1])
        self._close(self._times, self._log)
        self._starts.append(start)
        self._times, self._log = times, log
        self._times_size, self._size = TIME_RECORD.size, len(tail)
        self._recorded_at = time.monotonic()

    def _record_now(self) -> None:
        now = time.monotonic()
        is_sparse = self._times_size < max(self._segment_bytes // 4, DENSE_BYTES)
        if now - self._recorded_at >= (RECORD_SECONDS if is_sparse else 1.0):
            self._recorded_at = now
            self._record(self.end, time.time())

    def _record(self, offset: int, at: float) -> None:
        """Record the time before its bytes are written, so that no kill leaves bytes without one."""
        record = TIME_RECORD.pack(offset, self._newlines, at)
        try:
            write_all(self._times, record, self._times_size)
        except OSError:
            truncate(self._times, self._times_size)
        else:
            self._times_size += len(record)

    def tail(self, offset: int) -> tuple[int, bytes]:
        """Return the newest 256 KiB from an offset on, and their offset.

        Raises OSError.
        """
        return read_log(self._directory, max(offset, self.end - TAIL_BYTES), TAIL_BYTES)

    def close(self) -> None:
        """Report lost bytes, if the disk accepts the line, and close the files."""
        self._retry_at, self.must_drop = 0.0, False
        self.report_losses()
        self._let_go()

    def _let_go(self) -> None:
        self._close(self._log, self._times)
        self._log = self._times = -1

    @staticmethod
    def _close(*handles: int) -> None:
        for handle in handles:
            if handle >= 0:
                close(handle)
