"""Holds the output pipes of attempts open in this process."""

import os
from pathlib import Path

from api.executors.attempt.output import PIPE

#: The most pipes held; the oldest is closed when there are more.
MOST = 256


class HeldPipes:
    """Holds pipes open, so that their content outlives supervisor and trainer until the next supervisor reads it."""

    def __init__(self) -> None:
        self._handles: dict[Path, int] = {}

    def hold(self, directory: Path) -> None:
        """Hold the pipe of this attempt open, if it has one."""
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
        """Close the pipe of this attempt."""
        handle = self._handles.pop(directory, None)
        if handle is not None:
            os.close(handle)
