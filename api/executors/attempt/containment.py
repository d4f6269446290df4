"""What keeps an attempt's processes from getting lost, whatever becomes of their parents and of their supervisor."""

from __future__ import annotations

import time
from collections.abc import Callable

from .cgroup import Cgroup, find_cgroup, make_cgroup, own_cgroup
from .files import complain
from .processes import Tree, is_alive
from .seen_processes import SeenProcesses

BIRTH_SECONDS = 0.1  #: between two looks for newborn processes


class Containment:
    """A control group where that is permitted, and a list on the disk of every process that was seen."""

    def __init__(self, directory: str) -> None:
        self._seen = SeenProcesses(directory)
        self._looked_at = 0.0
        self._own: Cgroup | None = None
        self._group: Cgroup | None = None

    @property
    def path(self) -> str | None:
        """The directory of the control group; None without one."""
        return None if self._group is None else self._group.path

    def prepare(self, tree: Tree) -> None:
        """Makes the control group of an attempt that is about to start."""
        self._own = own_cgroup()
        self._group = tree.cgroup = None if self._own is None else make_cgroup(self._own, tree.uid)

    def spawn(self, tree: Tree, start: Callable[[], tuple[int, int]]) -> tuple[int, int]:
        """Calls `start` within the control group and returns the identity that it gives. Raises OSError, ValueError."""
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
        """Finds the control group and the processes that an earlier supervisor knew."""
        trainer = tree.main[0] if is_same_boot and tree.main is not None and is_alive(*tree.main) else None
        self._group = tree.cgroup = find_cgroup(path, tree.uid, trainer)
        if is_same_boot:
            tree.restore(self._seen.restore())

    def begin_again(self) -> None:
        """Makes the list anew after the attempt's directory was removed and made again."""
        self._seen.begin_again()

    def look(self, tree: Tree) -> None:
        """Finds newborn processes and lists them on the disk, at most once in half of BIRTH_SECONDS."""
        if time.monotonic() - self._looked_at >= BIRTH_SECONDS / 2:
            self._looked_at = time.monotonic()
            tree.look()
            self._seen.note(tree.known)

    def remove(self) -> None:
        """Removes the list and the control group, once no process of the attempt is left."""
        self._seen.remove()
        if self._group is not None:
            self._group.remove()
