"""Keep track of an attempt's processes, even when their parents or the supervisor die."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable

from api.util.files.foreign_files import ForeignFile, close, open_own, read, remove, write_all

from .cgroup import Cgroup, find_cgroup, make_cgroup, own_cgroup
from .processes import Tree, boot_id, is_alive
from .small_files import complain

SEEN_PROCESSES = "processes"
MOST = 4096  #: entries; when exceeded, ended processes are omitted
_ENTRY = struct.Struct("<QQ")  # pid, start
_HEAD_BYTES = 48  # the boot id, for which these pids are valid


BIRTH_SECONDS = 0.1  #: interval of the search for new processes


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


class Containment:
    """A control group, if permitted, and a list on disk of every process seen."""

    def __init__(self, directory: str) -> None:
        self._seen = SeenProcesses(directory)
        self._looked_at = 0.0
        self._own: Cgroup | None = None
        self._group: Cgroup | None = None

    @property
    def path(self) -> str | None:
        """The directory of the control group, or None."""
        return None if self._group is None else self._group.path

    def prepare(self, tree: Tree) -> None:
        """Create the control group of an attempt that is about to start."""
        self._own = own_cgroup()
        self._group = tree.cgroup = None if self._own is None else make_cgroup(self._own, tree.uid)

    def spawn(self, tree: Tree, start: Callable[[], tuple[int, int]]) -> tuple[int, int]:
        """Call `start` within the control group and return its result.

        Raises OSError, ValueError.
        """
        tree.begin()
        if self._group is None or self._own is None:
            return start()
        self._group.move_here()
        try:
            return start()
        finally:
            try:
                self._own.move_here()
            except OSError as error:
                complain(f"the supervisor is in the control group of its trainer: {error}")

    def resume(self, tree: Tree, path: object, is_same_boot: bool) -> None:
        """Find the control group and the processes that an earlier supervisor recorded."""
        trainer = tree.main[0] if is_same_boot and tree.main is not None and is_alive(*tree.main) else None
        self._group = tree.cgroup = find_cgroup(path, tree.uid, trainer)
        if is_same_boot:
            tree.restore(self._seen.restore())

    def recreate(self) -> None:
        """Recreate the list after the attempt's directory was removed and recreated."""
        self._seen.recreate()

    def observe(self, tree: Tree) -> None:
        """Find new processes and list them on disk, at most once per BIRTH_SECONDS / 2."""
        if time.monotonic() - self._looked_at >= BIRTH_SECONDS / 2:
            self._looked_at = time.monotonic()
            tree.observe()
            self._seen.note(tree.known)

    def remove(self) -> None:
        """Remove the list and the control group, once no process of the attempt is left."""
        self._seen.remove()
        if self._group is not None:
            self._group.remove()
