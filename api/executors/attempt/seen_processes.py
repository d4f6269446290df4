"""Record on disk every process that was seen as a member of an attempt.

When a supervisor is killed, its memory is lost. A process that left its session and emptied its environment is then
known only from this list, unless it is in a control group.
"""

from __future__ import annotations

import os
import struct

from api.util.foreign_files import ForeignFile, close, open_own, read, remove, write_all

from .files import complain
from .processes import boot_id, is_alive

SEEN_PROCESSES = "processes"
MOST = 4096  #: entries; when exceeded, ended processes are omitted
_ENTRY = struct.Struct("<QQ")  # pid, start
_HEAD_BYTES = 48  # the boot id, for which these pids are valid


class SeenProcesses:
    """The list as its supervisor writes it. Its space is reserved, so a full disk does not matter."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._handle = -1
        self._noted: set[tuple[int, int]] = set()
        self._count = 0

    def restore(self) -> set[tuple[int, int]]:
        """Return the pid and start of each process on an earlier supervisor's list that still runs."""
        return {identity for identity in read_seen_processes(self._directory) if is_alive(*identity)}

    def note(self, members: set[tuple[int, int]]) -> None:
        """Add the processes that are not listed yet."""
        new = sorted(members - self._noted)
        if not new:
            return
        try:
            if self._handle < 0 or self._count + len(new) > MOST:
                self._begin()
                new = sorted(members)[: MOST // 2]
            content = b"".join(_ENTRY.pack(*identity) for identity in new)
            write_all(self._handle, content, _HEAD_BYTES + self._count * _ENTRY.size)
            self._count += len(new)
            self._noted.update(new)
        except OSError as error:
            complain(f"the processes cannot be recorded: {error}")

    def recreate(self) -> None:
        """Let the next `note` recreate the file after it was removed."""
        if self._handle >= 0:
            close(self._handle)
            self._handle = -1
        self._noted.clear()

    def _begin(self) -> None:
        """Restart the list. Old entries beyond the new end stay until overwritten, which is harmless."""
        handle = self._handle if self._handle >= 0 else open_own(f"{self._directory}/{SEEN_PROCESSES}", os.O_RDWR)
        try:
            if handle != self._handle:
                os.posix_fallocate(handle, 0, _HEAD_BYTES + MOST * _ENTRY.size)
            write_all(handle, boot_id().encode().ljust(_HEAD_BYTES, b"\0"), 0)
        except OSError:
            # A list without its head would count as one of another boot.
            close(handle)
            self._handle = -1
            raise
        self._handle = handle
        self._count = 0
        self._noted.clear()

    def remove(self) -> None:
        """Remove the list, once no process of the attempt is left."""
        if self._handle >= 0:
            close(self._handle)
            self._handle = -1
        remove(f"{self._directory}/{SEEN_PROCESSES}")


def read_seen_processes(directory: str) -> set[tuple[int, int]]:
    """Return the pid and start of each process listed since the current boot, whether it still runs or not."""
    try:
        content = read(f"{directory}/{SEEN_PROCESSES}")
    except (OSError, ForeignFile):
        return set()
    if content[:_HEAD_BYTES].rstrip(b"\0") != boot_id().encode():
        return set()
    end = len(content) - (len(content) - _HEAD_BYTES) % _ENTRY.size
    return {(pid, start) for pid, start in _ENTRY.iter_unpack(content[_HEAD_BYTES:end]) if 1 < pid < 2**31}
