"""Find living attempts among this machine's processes, because directories can be lost and processes cannot."""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from api.domain.tasks.task import ProcessIdentity
from api.executors.attempt.ended import has_outcome
from api.executors.attempt.process_marks import MARKER, limit_of, read_limit
from api.executors.attempt.processes import all_pids, boot_id, pid_namespace, read_stat
from api.executors.attempt.small_files import read_file
from api.executors.executor import AttemptRef, LivingAttempt, Locate
from api.executors.records import Runner, SpecRecord, parse_spec
from api.util.files.foreign_files import read

#: The end of a supervisor's program path. Its arguments: `-I -S …/executors/supervisor.py DIRECTORY`.
_PROGRAM = b"/executors/supervisor.py"

K = TypeVar("K")

_MARKER = f"{MARKER}=".encode()


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


@dataclass(frozen=True, slots=True)
class Survey:
    """The live supervisors by attempt directory, and the processes of attempts by uid.

    Processes that do not show their uid, because their environment is unreadable or empty, are in `marked` by limit.
    """

    supervisors: Mapping[Path, ProcessIdentity]
    members: Mapping[str, tuple[ProcessIdentity, ...]]
    marked: Mapping[int, tuple[ProcessIdentity, ...]] = field(default_factory=dict)

    def members_of(self, uid: str) -> tuple[ProcessIdentity, ...]:
        """Return the processes that carry a mark of this attempt."""
        return (*self.members.get(uid, ()), *self.marked.get(limit_of(uid), ()))


def survey() -> Survey:
    """Check every process once. Skip processes that cannot be read."""
    supervisors: dict[Path, ProcessIdentity] = {}
    members: dict[str, list[ProcessIdentity]] = {}
    marked: dict[int, list[ProcessIdentity]] = {}
    for pid in all_pids():
        uid = _read_marker(pid)
        directory = None if uid is not None else _read_directory(pid)
        limit = None if uid is not None or directory is not None else read_limit(pid)
        if uid is None and directory is None and limit is None:
            continue
        stat = read_stat(pid)
        if stat is None or not stat.is_alive:
            continue
        identity = ProcessIdentity(stat.pid, stat.start)
        if uid is not None:
            members.setdefault(uid, []).append(identity)
        elif directory is not None:
            supervisors[directory] = identity
        elif limit is not None:
            marked.setdefault(limit, []).append(identity)
    return Survey(supervisors, _fixed(members), _fixed(marked))


def _fixed(found: dict[K, list[ProcessIdentity]]) -> dict[K, tuple[ProcessIdentity, ...]]:
    return {key: tuple(processes) for key, processes in found.items()}


def supervises(pid: int, directory: Path) -> bool:
    """Return whether this process is the supervisor of this attempt, even if the storage has moved since."""
    found = _read_directory(pid)
    return found is not None and found.parts[-3:] == directory.absolute().parts[-3:]


def _read_marker(pid: int) -> str | None:
    for entry in _parts(pid, "environ"):
        if entry.startswith(_MARKER):
            return os.fsdecode(entry[len(_MARKER) :])
    return None


def _read_directory(pid: int) -> Path | None:
    arguments = _parts(pid, "cmdline")
    for position, argument in enumerate(arguments[1:5], 1):
        if argument.endswith(_PROGRAM) and position + 1 < len(arguments):
            return Path(os.fsdecode(arguments[position + 1]))
    return None


def _parts(pid: int, name: str) -> list[bytes]:
    try:
        return read_file(f"/proc/{pid}/{name}").split(b"\0")
    except OSError:
        return []


def list_living(
    found: Survey, root: Path, locate: Locate, uids: Callable[[], Iterable[str]] = tuple
) -> list[LivingAttempt]:
    """Return the living attempts whose directory is below `root`.

    Processes without a supervisor may carry only their uid, or only its hash as a limit. `locate` returns the directory
    of a uid; `uids` lists the known uids, to match such hashes.
    """
    living = list(_supervised(found, root))
    known = {each.ref.uid for each in living}
    for uid in {*found.members, *_named(found, uids)} - known:
        directory = locate(uid)
        described = None if directory is None else _read_spec(directory)
        if directory is not None and described is not None and described.uid == uid:
            living.append(_living(directory, described, None, found.members_of(uid)))
    return living


def _supervised(found: Survey, root: Path) -> Iterator[LivingAttempt]:
    for directory, supervisor in found.supervisors.items():
        described = _read_spec(directory) if directory.is_relative_to(root) else None
        if described is not None:
            yield _living(directory, described, supervisor, found.members_of(described.uid))


def _named(found: Survey, uids: Callable[[], Iterable[str]]) -> list[str]:
    """Return the uids whose hash is on processes without a supervisor."""
    # Supervisors of other storages count, too: their directory names the uid. So `uids` is rarely called.
    watched = {limit_of(f"{directory.parent.parent.name}.{directory.name}") for directory in found.supervisors}
    left = found.marked.keys() - watched
    return [uid for uid in uids() if limit_of(uid) in left] if left else []


def _living(
    directory: Path, described: SpecRecord, supervisor: ProcessIdentity | None, members: tuple[ProcessIdentity, ...]
) -> LivingAttempt:
    ref = AttemptRef(described.uid, directory, Path(described.log_directory))
    return LivingAttempt(ref, described.gpu_uuids, supervisor, members, has_outcome(str(directory)))


def _read_spec(directory: Path) -> SpecRecord | None:
    try:
        return parse_spec(read(str(directory / "spec.json")))
    except OSError:
        return None
