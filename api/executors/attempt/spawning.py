"""Starting the trainer, and what the supervisor asks of the kernel and the C library."""

from __future__ import annotations

import ctypes
import os
import signal

from .files import complain
from .orders import Spec
from .processes import MARKER, read_stat

PR_SET_CHILD_SUBREAPER = 36


def spawn(spec: Spec, environment: dict[str, str], fifo: str) -> tuple[int, int]:
    """Starts the trainer in a session of its own; its identity. Raises OSError, ValueError."""
    environment = {**environment, MARKER: spec.uid}
    try:
        os.chdir(spec.cwd)
    except OSError as error:
        raise OSError(f"the working directory cannot be entered: {error}") from None
    try:
        pid = os.posix_spawn(
            find_program(spec.argv[0], environment.get("PATH", os.defpath)),
            spec.argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, fifo, os.O_RDWR, 0),
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
    """Where a program is, by the PATH that it will itself have; the name, when it is nowhere."""
    if "/" in name:
        return name
    for directory in path.split(os.pathsep):
        candidate = os.path.join(directory or ".", name)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return name


def become_subreaper() -> None:
    """Has orphans among its descendants become its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        complain(f"orphans will not come here: {os.strerror(ctypes.get_errno())}")


def give_memory_back() -> None:
    """Has the C library return what loading took; a supervisor lives for days."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
