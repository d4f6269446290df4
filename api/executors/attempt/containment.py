"""Keep track of an attempt's processes, even when their parents or the supervisor die."""

from __future__ import annotations

import time
from collections.abc import Callable

from .cgroup import Cgroup, find_cgroup, make_cgroup, own_cgroup
from .files import complain
from .processes import Tree, is_alive
from .seen_processes import SeenProcesses

BIRTH_SECONDS = 0.1  #: interval of the search for new processes


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
