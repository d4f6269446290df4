"""How much of the output is in the log, so that no kill makes a later supervisor lose or double a byte of it."""

from __future__ import annotations

import os
import struct

from api.util.foreign_files import close, open_own, remove, write_all

from .files import complain

UNKNOWN = 2**63  #: stands for the end of a log that cannot be opened; nothing is concluded from it

_RECORD = struct.Struct("<QQQQQ")


class Ledger:
    """Counts the bytes that were taken from the output, those that were lost, and the losses not told in the log yet.

    While output is only copied the log grows by what is taken, so its length alone tells how far a killed supervisor
    came. A record is needed only where the two part: when bytes are dropped, and when a line of ours is put in. It is
    written in its own block, which a full disk does not refuse.
    """

    def __init__(self, path: str = "") -> None:
        self.taken = 0  #: bytes of the output that were copied or dropped
        self.lost = 0
        self.unsaid = 0  #: lost bytes that no line in the log tells of yet
        self.path = path
        self._handle = -1
        self._log_end = 0  # where the log ended when `taken` was as recorded
        self._line_end = 0  # where it will end with the line that is just being put in
        self._restored_taken: int | None = None

    def open(self) -> bool:
        """Reads the record of an earlier supervisor; returns whether there was one.

        Raises OSError, also when there is no room for a record.
        """
        if not self.path:
            return False
        self._handle = open_own(self.path, os.O_RDWR)
        content = os.pread(self._handle, _RECORD.size, 0)
        if len(content) == _RECORD.size:
            self.taken, self._log_end, self.lost, self.unsaid, self._line_end = _RECORD.unpack(content)
            self._restored_taken = self.taken
            return True
        write_all(self._handle, self._record(), 0)
        return False

    def begin_again(self) -> None:
        """Makes the file again after somebody removed it; the next `save` fills it. Raises OSError."""
        if self._handle >= 0:
            close(self._handle)
            self._handle = open_own(self.path, os.O_RDWR)

    def settle(self, log_end: int) -> int:
        """Works out from the log's end how far an earlier supervisor came; returns where the log should end."""
        if self._restored_taken is not None:
            if self._line_end and log_end >= self._line_end:
                self._log_end, self.unsaid = self._line_end, 0
            elif self._line_end and log_end > self._log_end:
                log_end = self._log_end
            self.taken = max(self.taken, self._restored_taken + max(0, log_end - self._log_end))
            self._restored_taken = None
        self.save(log_end)
        return log_end

    def drop(self, count: int, log_end: int) -> None:
        """Records that so many bytes were taken from the output and lost."""
        self.taken += count
        self.lost += count
        self.unsaid += count
        self.save(log_end)

    def begin_line(self, log_end: int, length: int) -> None:
        """Records that a line of ours, `length` bytes long, is about to be appended to the log."""
        self._line_end = log_end + length
        self._log_end = log_end
        self._write()

    def save(self, log_end: int) -> None:
        """Records how much was taken when the log ended at `log_end`, and that no line of ours is under way."""
        if self._restored_taken is None:
            self._log_end, self._line_end = log_end, 0
            self._write()

    def _write(self) -> None:
        if self._handle < 0:
            return
        try:
            write_all(self._handle, self._record(), 0)
        except OSError as error:
            complain(f"how much was taken cannot be recorded: {error}")

    def _record(self) -> bytes:
        return _RECORD.pack(self.taken, self._log_end, self.lost, self.unsaid, self._line_end)

    def remove(self) -> None:
        """Closes and removes the file, when the attempt is over."""
        if self._handle >= 0:
            close(self._handle)
            self._handle = -1
        remove(self.path)
