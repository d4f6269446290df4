"""Identifies files and directories by device and inode, so that one in another's place is noticed."""

import os
from collections.abc import Iterator
from pathlib import Path

from api.errors import StorageGone

#: Device and inode; None where there is nothing.
Identity = tuple[int, int] | None

_RETRY_AFTER = {"Retry-After": "5"}


def identify(path: Path | str) -> Identity:
    """The identity of what stands under this name now; None where nothing can be reached."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class KeptPlaces:
    """The places that everything acknowledged lies in: STORAGE_ROOT, and the file of the database.

    Open files outlive their names, so that a write to one that was deleted or replaced succeeds, and is gone after a
    restart. Therefore the names are looked at with every write. Until `note` is called, nothing is known.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._noted: dict[Path, Identity] = {}

    def note(self) -> None:
        """Remembers what stands there now; from then on it must stay the same."""
        self._noted = {path: identify(path) for path in self._paths}

    def problems(self) -> Iterator[str]:
        """What has been moved, deleted or replaced, in words with what to do; nothing while it is all there."""
        for path, noted in self._noted.items():
            now = identify(path)
            if now != noted:
                yield describe_loss(path, now)

    def check(self) -> None:
        """Raises StorageGone when one of the places is not what it was."""
        for problem in self.problems():
            raise gone(problem)


def describe_loss(path: Path | str, now: Identity) -> str:
    """What has become of a place that is not what it was."""
    if now is None:
        return f"{path} is gone (deleted, moved or unmounted): put the same one back, or restart this service"
    what = "move it aside and put the former back, or restart this service to use it"
    return f"{path} is another one than at the start: {what}"


def gone(problem: str) -> StorageGone:
    """The error for a place that is not what it was."""
    return StorageGone(f"Nothing is acknowledged any more: {problem}.", headers=_RETRY_AFTER)
