"""Record how much of the output is in the log, so that a later supervisor neither loses nor repeats a byte."""

from __future__ import annotations

import os
import struct

from api.util.files.foreign_files import close, open_own, remove, write_all

from .small_files import complain

UNKNOWN = 2**63  #: the log's end if the log cannot be opened; nothing is derived from it

_RECORD = struct.Struct("<QQQQQ")


class Ledger:
    """Counts output bytes that were processed, those that were lost, and those lost without a line in the log.

    While output is only copied, the log grows by the bytes processed. Its length then shows how far a killed supervisor
    came. A record is needed only if the two differ: when bytes are dropped, or a line of the supervisor is inserted.
    The record is written in its own disk block, which a full disk does not refuse.
    """

    def __init__(self, path: str = "") -> None:
        self.taken = 0  #: bytes of the output that were copied or dropped
        self.lost = 0
        self.unreported = 0  #: lost bytes that no line in the log reports yet
        self.path = path
        self._handle = -1
        self._log_end = 0  # the log's end when `taken` was recorded
        self._line_end = 0  # the log's end after the line that is being inserted
        self._restored_taken: int | None = None

    def open(self) -> bool:
        """Read the record of an earlier supervisor. Return whether there was one.

        Raises OSError, also if there is no space for a record.
        """
        if not self.path:
            return False
        self._handle = open_own(self.path, os.O_RDWR)
        content = os.pread(self._handle, _RECORD.size, 0)
        if len(content) == _RECORD.size:
            self.taken, self._log_end, self.lost, self.unreported, self._line_end = _RECORD.unpack(content)
            self._restored_taken = self.taken
            return True
        write_all(self._handle, self._record(), 0)
        return False

    def recreate(self) -> None:
        """Recreate the file after it was removed; the next `save` fills it.

        Raises OSError.
        """
        if self._handle >= 0:
            close(self._handle)
            self._handle = open_own(self.path, os.O_RDWR)

    def settle(self, log_end: int) -> int:
        """Derive from the log's end how far an earlier supervisor came. Return where the log should end."""
        if self._restored_taken is not None:
            if self._line_end and log_end >= self._line_end:
                self._log_end, self.unreported = self._line_end, 0
            elif self._line_end and log_end > self._log_end:
                log_end = self._log_end
            self.taken = max(self.taken, self._restored_taken + max(0, log_end - self._log_end))
            self._restored_taken = None
        self.save(log_end)
        return log_end

    def drop(self, count: int, log_end: int) -> None:
        """Record that this many bytes of output were processed and lost."""
        self.taken += count
        self.lost += count
        self.unreported += count
        self.save(log_end)

    def begin_line(self, log_end: int, length: int) -> None:
        """Record that a line of the supervisor, `length` bytes long, is about to be appended to the log."""
        self._line_end = log_end + length
        self._log_end = log_end
        self._write()

    def save(self, log_end: int) -> None:
        """Store the number of processed bytes, for a log that ends at `log_end` and no line in progress."""
        if self._restored_taken is None:
            self._log_end, self._line_end = log_end, 0
            self._write()

    def _write(self) -> None:
        if self._handle < 0:
            return
        try:
            write_all(self._handle, self._record(), 0)
        except OSError as error:
            complain(f"the processed bytes cannot be recorded: {error}")

    def _record(self) -> bytes:
        return _RECORD.pack(self.taken, self._log_end, self.lost, self.unreported, self._line_end)

    def remove(self) -> None:
        """Close and remove the file at the end of the attempt."""
        if self._handle >= 0:
            close(self._handle)
            self._handle = -1
        remove(self.path)
