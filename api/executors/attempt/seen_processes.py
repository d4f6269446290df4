"""Every process that was ever seen to belong to an attempt, on the disk before anybody needs to know.

A supervisor that is killed takes its memory along. What has left its session and emptied its environment is then known
by this list alone, unless a control group holds it.
"""

from __future__ import annotations

import os
import struct

from api.util.foreign_files import ForeignFile, close, open_own, read, remove, write_all

from .files import complain
from .processes import boot_id, is_alive

SEEN_PROCESSES = "processes"
MOST = 4096  #: entries, after which those that have ended are left out
_ENTRY = struct.Struct("<QQ")  # pid, start
_HEAD_BYTES = 48  # the boot, whose pids these are


class SeenProcesses:
    """The list as its supervisor keeps it. A full disk refuses nothing: its space is reserved."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._handle = -1
        self._noted: set[tuple[int, int]] = set()
        self._count = 0

    def restore(self) -> set[tuple[int, int]]:
        """The pid and start of each process on an earlier supervisor's list that still runs."""
        return {identity for identity in read_seen_processes(self._directory) if is_alive(*identity)}

    def note(self, members: set[tuple[int, int]]) -> None:
        """Adds the processes that are not on the list yet."""
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

    def begin_again(self) -> None:
        """Makes the file again, after somebody removed it, with the next `note`."""
        if self._handle >= 0:
            close(self._handle)
            self._handle = -1
        self._noted.clear()

    def _begin(self) -> None:
        """Starts the list anew: what is left of the old one beyond stays until it is written over, and does no harm."""
        handle = self._handle if self._handle >= 0 else open_own(f"{self._directory}/{SEEN_PROCESSES}", os.O_RDWR)
        try:
            if handle != self._handle:
                os.posix_fallocate(handle, 0, _HEAD_BYTES + MOST * _ENTRY.size)
            write_all(handle, boot_id().encode().ljust(_HEAD_BYTES, b"\0"), 0)
        except OSError:
            # A list without its head would count as that of another start of the machine.
            close(handle)
            self._handle = -1
            raise
        self._handle = handle
        self._count = 0
        self._noted.clear()

    def remove(self) -> None:
        """Removes the list, once no process of the attempt is left."""
        if self._handle >= 0:
            close(self._handle)
            self._handle = -1
        remove(f"{self._directory}/{SEEN_PROCESSES}")


def read_seen_processes(directory: str) -> set[tuple[int, int]]:
    """The pid and start of each process listed since the machine's present boot, whether it still runs or not."""
    try:
        content = read(f"{directory}/{SEEN_PROCESSES}")
    except (OSError, ForeignFile):
        return set()
    if content[:_HEAD_BYTES].rstrip(b"\0") != boot_id().encode():
        return set()
    end = len(content) - (len(content) - _HEAD_BYTES) % _ENTRY.size
    return {(pid, start) for pid, start in _ENTRY.iter_unpack(content[_HEAD_BYTES:end]) if 1 < pid < 2**31}
