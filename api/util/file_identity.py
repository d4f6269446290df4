"""Identify files and directories by device and inode, to detect that one was replaced."""

import os
from collections.abc import Iterator
from pathlib import Path

from api.errors import StorageGone

#: Device and inode; None if the path does not exist.
Identity = tuple[int, int] | None

_RETRY_AFTER = {"Retry-After": "5"}


def identify(path: Path | str) -> Identity:
    """Return the identity of this path now; None if it cannot be reached."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class GuardedPaths:
    """The paths that hold all acknowledged data: STORAGE_ROOT, and the file of the database.

    An open file survives the deletion or replacement of its name: a write to it succeeds, but the data is lost after a
    restart. Therefore the paths are checked with every write. Nothing is checked before `note` is called.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._noted: dict[Path, Identity] = {}

    def note(self) -> None:
        """Record the current identities. From now on they must stay the same."""
        self._noted = {path: identify(path) for path in self._paths}

    def problems(self) -> Iterator[str]:
        """Yield a description of each path that was moved, deleted or replaced, with what to do."""
        for path, noted in self._noted.items():
            now = identify(path)
            if now != noted:
                yield describe_loss(path, now)

    def check(self) -> None:
        """Raise StorageGone if one of the paths has changed."""
        for problem in self.problems():
            raise gone(problem)


def describe_loss(path: Path | str, now: Identity) -> str:
    """Return a description of what has happened to a path that has changed."""
    if now is None:
        return f"{path} is missing (deleted, moved or unmounted): restore it, or restart this service"
    remedy = "restore the former one, or restart this service to use the new one"
    return f"{path} was replaced since the start: {remedy}"


def gone(problem: str) -> StorageGone:
    """Return the error for a path that has changed."""
    return StorageGone(
        f"The service accepts no changes, since its storage has changed: {problem}.", headers=_RETRY_AFTER
    )
