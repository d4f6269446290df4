"""Identifies the machine, boot and pid namespace of an executor, and so the processes that it can see."""

import errno
import fcntl
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from api.executors.attempt.processes import boot_id, pid_namespace
from api.executors.records import Runner


@dataclass(frozen=True, slots=True)
class HostContext:
    """A machine by name, its current boot, and the pid namespace in which processes are visible."""

    node: str
    boot_id: str
    pid_namespace: int

    @classmethod
    def current(cls, node: str) -> "HostContext":
        """Return the context of this process, on the machine of this name."""
        return cls(node, boot_id(), pid_namespace())

    def as_json(self) -> dict[str, object]:
        """Return the fields that identify the context in a supervisor's record."""
        return {"node": self.node, "boot_id": self.boot_id, "pid_namespace": self.pid_namespace}

    def matches(self, runner: Runner) -> bool:
        """Return whether the pids in this record identify processes of this context."""
        return runner.boot_id == self.boot_id and runner.pid_namespace in (None, self.pid_namespace)

    def why_hidden(self, runner: Runner) -> str | None:
        """Return why the record's processes may live although they are not visible; None if they must be dead."""
        if runner.boot_id == self.boot_id:
            if runner.pid_namespace in (None, self.pid_namespace):
                return None
            return f"its processes are in another pid namespace ({runner.pid_namespace}) of this machine"
        if runner.node not in (None, self.node):
            return f"it was started on {runner.node}, and this is {self.node}"
        return None


def is_locked(path: Path) -> bool:
    """Return whether any process of this machine holds the lock; False without a file.

    Raises OSError.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def is_held_open(path: Path) -> bool:
    """Return whether any process, in any pid namespace, has the file open for writing or the pipe for reading.

    Also True if that cannot be determined.
    """
    try:
        if stat.S_ISREG(os.lstat(path).st_mode):
            return _is_written(path)
        if not stat.S_ISFIFO(os.lstat(path).st_mode):
            return True
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC))
    except OSError as error:
        return error.errno != errno.ENXIO
    return True


def _is_written(path: Path) -> bool:
    """Return whether any process has the file open for writing. Otherwise the kernel grants a read lease.

    Raises OSError.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
