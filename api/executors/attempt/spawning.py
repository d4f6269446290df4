"""Starting the trainer."""

from __future__ import annotations

import os
import signal

from .orders import Spec
from .process_marks import MARKER, ProcessMark
from .processes import read_stat


def spawn(spec: Spec, environment: dict[str, str], output: str, flags: int) -> tuple[int, int]:
    """Starts the trainer in a session of its own; returns its pid and start. Raises OSError, ValueError."""
    environment = {**environment, MARKER: spec.uid}
    try:
        os.chdir(spec.cwd)
    except OSError as error:
        raise OSError(error.errno, f"the working directory cannot be entered: {error.strerror}", spec.cwd) from None
    try:
        with ProcessMark(spec.uid).handed_on():
            pid = os.posix_spawn(
                find_program(spec.argv[0], environment.get("PATH", os.defpath)),
                spec.argv,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, output, flags, 0),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
            )
    finally:
        os.chdir("/")
    stat = read_stat(pid)
    # Its entry stays in /proc until it is reaped here, so there always is one.
    return pid, 0 if stat is None else stat.start


def find_program(name: str, path: str) -> str:
    """The path of a program, found by the PATH that it will itself have; its bare name when it is nowhere."""
    if "/" in name:
        return name
    for directory in path.split(os.pathsep):
        candidate = os.path.join(directory or ".", name)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return name
