"""Pipes of attempts that are held open here, where their output goes through one."""

import os
from pathlib import Path

from api.executors.attempt.output import PIPE

#: Pipes held at most: with more, the oldest is let go.
MOST = 256


class HeldPipes:
    """Holds pipes open: what is in one then outlives supervisor and trainer, and the next supervisor finds it."""

    def __init__(self) -> None:
        self._handles: dict[Path, int] = {}

    def hold(self, directory: Path) -> None:
        """Holds the pipe of this attempt open from now on, if it has one."""
        if directory in self._handles:
            return
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            self._handles[directory] = os.open(directory / PIPE, flags)
        except OSError:
            return
        if len(self._handles) > MOST:
            self.let_go(next(iter(self._handles)))

    def let_go(self, directory: Path) -> None:
        """Closes the pipe of this attempt."""
        handle = self._handles.pop(directory, None)
        if handle is not None:
            os.close(handle)
