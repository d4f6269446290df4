"""The supervisor of one attempt, as far as others can see it: it has the lock, and gives way to a higher fence."""

import os
from pathlib import Path

from api.executors.attempt.directory import AttemptDirectory, Superseded
from api.util.foreign_files import make_directory


class Supervisor:
    """The service's own files, in the shared storage. Lives until it lets go of its lock."""

    def __init__(self, directory: Path) -> None:
        make_directory(str(directory))
        self._files = AttemptDirectory(str(directory))
        self._lock = self._files.take_lock()
        self._files.claim(self._lock)

    def is_surpassed(self) -> bool:
        """Whether it finds that its attempt is somebody else's now."""
        try:
            self._files.check_fence()
        except Superseded:
            return True
        return False

    def take_lock(self) -> None:
        """Takes its lock again where the file server had given it up."""
        if self._lock < 0:
            self._lock = self._files.take_lock()

    def let_go(self) -> None:
        """Gives the lock back: it ends, or the file server has not heard of its machine for too long."""
        if self._lock >= 0:
            os.close(self._lock)
            self._files._drop_space()
        self._lock = -1
