"""Start the trainer."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterator

from .orders import Spec
from .process_marks import MARKER, ProcessMark
from .processes import read_stat
from .run_as import UMASK


def spawn(spec: Spec, environment: dict[str, str], output: str, flags: int) -> tuple[int, int]:
    """Start the trainer in its own session. Return its pid and start.

    Raises OSError, ValueError.
    """
    argv, environment = _command(spec, {**environment, MARKER: spec.uid}, output)
    try:
        os.chdir(spec.cwd)
    except OSError as error:
        raise OSError(error.errno, f"the working directory cannot be entered: {error.strerror}", spec.cwd) from None
    try:
        with ProcessMark(spec.uid).applied(), _shared_files(spec):
            pid = os.posix_spawn(
                find_program(argv[0], environment.get("PATH", os.defpath)),
                argv,
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
    # Its entry stays in /proc until this process reaps it, so there always is one.
    return pid, 0 if stat is None else stat.start


def _command(spec: Spec, environment: dict[str, str], output: str) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and environment to execute.

    Raises OSError.
    """
    if spec.run_as is None:
        return spec.argv, environment
    spec.run_as.admit(os.path.dirname(output), output)
    program = find_program(spec.argv[0], environment.get("PATH", os.defpath))
    if not os.path.exists(program):
        # setpriv would start successfully and only then fail.
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
    return spec.run_as.command([program, *spec.argv[1:]], environment)


@contextlib.contextmanager
def _shared_files(spec: Spec) -> Iterator[None]:
    """Let a trainer of another user create files that the service can read."""
    before = os.umask(UMASK) if spec.run_as is not None else None
    try:
        yield
    finally:
        if before is not None:
            os.umask(before)


def find_program(name: str, path: str) -> str:
    """Return the path of a program, found by the PATH that it will have; its bare name if not found."""
    if "/" in name:
        return name
    for directory in path.split(os.pathsep):
        candidate = os.path.join(directory or ".", name)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return name
