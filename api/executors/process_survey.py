"""Finds living attempts among this machine's processes, because directories can be lost and processes cannot."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from api.domain.task import ProcessIdentity
from api.executors.attempt.files import read_file
from api.executors.attempt.process_marks import MARKER, limit_of, read_limit
from api.executors.attempt.processes import all_pids, read_stat

#: The end of a supervisor's program path. Its arguments: `-I -S …/executors/supervisor.py DIRECTORY`.
_PROGRAM = b"/executors/supervisor.py"

K = TypeVar("K")

_MARKER = f"{MARKER}=".encode()


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
