"""Pipes of attempts that are held open here, where their output goes through one."""

import os
from pathlib import Path

from api.executors.attempt.output import PIPE

#: With more, the oldest is let go.
MOST = 256


class HeldPipes:
    """Keeps what is in the pipe when supervisor and trainer are killed together: the next supervisor finds it."""

    def __init__(self) -> None:
        self._handles: dict[Path, int] = {}

    def hold(self, directory: Path) -> None:
        """From now on, if there is one."""
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
        """No longer."""
        handle = self._handles.pop(directory, None)
        if handle is not None:
            os.close(handle)
