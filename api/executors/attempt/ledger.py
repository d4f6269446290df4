"""How much of the output is in the log, so that no kill makes a later supervisor lose or double a byte of it."""

from __future__ import annotations

import os
import struct

from api.utils.foreign_files import close, open_own, remove, write_all

from .files import complain

UNKNOWN = 2**63  #: the end of a log that cannot be opened: nothing is concluded from what it proves to be

_RECORD = struct.Struct("<QQQQQ")


class Ledger:
    """What was taken from the output, what of it was lost, and what the log does not say of that yet.

    While output is only copied the log grows by what is taken, so its length alone tells how far a killed supervisor
    came. A record is needed only where the two part: when bytes are dropped, and when a line of ours is put in. It is
    written in its own block, which a full disk does not refuse.
    """

    def __init__(self, path: str = "") -> None:
        self.taken = 0  #: bytes of the output
        self.lost = 0
        self.unsaid = 0  #: lost, and not yet told in the log
        self.path = path
        self._handle = -1
        self._log_end = 0  # where the log ended when `taken` was as recorded
        self._line_end = 0  # where it will end with the line that is just being put in
        self._restored_taken: int | None = None

    def open(self) -> bool:
        """Reads what an earlier supervisor left; whether there was anything.

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
        """Makes the file again, which somebody removed; what is in it is told by the next `save`. Raises OSError."""
        if self._handle >= 0:
            close(self._handle)
            self._handle = open_own(self.path, os.O_RDWR)

    def settle(self, log_end: int) -> int:
        """Concludes from where the log ends how far an earlier supervisor came; where the log should end."""
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
        """So many bytes were taken and are nowhere."""
        self.taken += count
        self.lost += count
        self.unsaid += count
        self.save(log_end)

    def begin_line(self, log_end: int, length: int) -> None:
        """A line about what was lost is being put in."""
        self._line_end = log_end + length
        self._log_end = log_end
        self._write()

    def save(self, log_end: int) -> None:
        """No line is being put in, and so much was taken when the log ended here."""
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
        """The attempt is over."""
        if self._handle >= 0:
            close(self._handle)
            self._handle = -1
        remove(self.path)
