"""The supervisor of one attempt, as others see it: it holds the lock, and gives way to a higher fence."""

import os
from pathlib import Path

from api.executors.attempt.directory import AttemptDirectory, Superseded
from api.util.files.foreign_files import make_directory


class Supervisor:
    """The service's own files, in the shared storage. It lives until it releases its lock."""

    def __init__(self, directory: Path) -> None:
        make_directory(str(directory))
        self._files = AttemptDirectory(str(directory))
        self._lock = self._files.take_lock()
        self._files.claim(self._lock)

    def is_superseded(self) -> bool:
        """Return whether its attempt belongs to another supervisor now."""
        try:
            self._files.check_fence()
        except Superseded:
            return True
        return False

    def take_lock(self) -> None:
        """Take its lock again if the file server had released it."""
        if self._lock < 0:
            self._lock = self._files.take_lock()

    def let_go(self) -> None:
        """Release the lock, as when it ends or the file server has missed its machine for too long."""
        if self._lock >= 0:
            os.close(self._lock)
            self._files._drop_space()
        self._lock = -1
