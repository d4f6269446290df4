"""Where an executor runs, and so which processes it can see: a pid means something only in its own place."""

import errno
import fcntl
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from api.executors.attempt.processes import boot_id, pid_namespace
from api.executors.records import Runner


@dataclass(frozen=True, slots=True)
class Place:
    """A machine by its name, its present boot, and the pid namespace in which processes are seen."""

    node: str
    boot_id: str
    pid_namespace: int

    @classmethod
    def here(cls, node: str) -> "Place":
        """The place of this process, on the machine of this name."""
        return cls(node, boot_id(), pid_namespace())

    def as_json(self) -> dict[str, object]:
        """The place as a record of a supervisor names it."""
        return {"node": self.node, "boot_id": self.boot_id, "pid_namespace": self.pid_namespace}

    def is_of(self, runner: Runner) -> bool:
        """Whether the pids in this record mean processes of this place."""
        return runner.boot_id == self.boot_id and runner.pid_namespace in (None, self.pid_namespace)

    def why_hidden(self, runner: Runner) -> str | None:
        """Why processes of this record that are not seen may live all the same; None when they must be dead."""
        if runner.boot_id == self.boot_id:
            if runner.pid_namespace in (None, self.pid_namespace):
                return None
            return f"its processes are in another pid namespace ({runner.pid_namespace}) of this machine"
        if runner.node not in (None, self.node):
            return f"it was started on {runner.node}, and this is {self.node}"
        return None


def is_locked(path: Path) -> bool:
    """Whether any process of this machine holds the lock; False without a file. Raises OSError."""
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
    """Whether any process of this machine, in whichever pid namespace, has the file open to write, or the pipe to read;
    also when it cannot be told.
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
    """Whether anybody has the file open to write: else the kernel gives a lease to read. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
