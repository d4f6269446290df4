"""The identity of a server process, and whether another server process has certainly ended."""

import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from api.domain.tasks.task import ProcessIdentity
from api.gpus.sources import host
from api.util.clock import read_boot_id

_LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """Identifies one server process among all past and future ones."""

    node: str
    boot_id: str
    pid_namespace: int
    root: str  #: a hash of its STORAGE_ROOT
    pid: int
    start: int
    token: str

    @classmethod
    def own(cls, node: str, storage_root: Path) -> "ServerIdentity":
        """Return the identity of this process."""
        own = host.process_identity(os.getpid())
        start = 0 if own is None else int(own.start)
        machine = (node, read_boot_id(), host.pid_namespace())
        return cls(*machine, name_root(storage_root), os.getpid(), start, secrets.token_hex(8))

    @property
    def scope(self) -> str:
        """The leadership scope of the attempts on its machine below its STORAGE_ROOT."""
        return _scope(self.root, self.node)

    @property
    def cluster_scope(self) -> str:
        """The leadership scope of the attempts of a cluster with this STORAGE_ROOT."""
        return _scope(self.root, "")

    def as_leader(self, has_lock: bool) -> str:
        """Return its name as a leader in the database. The node's name comes last, because it can have any characters.

        `has_lock` means that it holds the lock of its storage, which the kernel frees when the process ends.
        """
        return "@".join((self.token, _LOCKED if has_lock else "", self.process))

    @property
    def process(self) -> str:
        """The name of this process, without the leader's token."""
        parts = (self.pid, self.start, self.pid_namespace, self.boot_id, self.root, self.node)
        return "@".join(str(part) for part in parts)

    def knows_ended(self, process: str) -> bool:
        """Return whether the process with this name has certainly ended."""
        return self.knows_gone(f"@@{process}", lambda: False)

    def knows_gone(self, other: str, has_lock: Callable[[], bool]) -> bool:
        """Return whether the process of this leader has certainly ended.

        `has_lock` returns whether this process can take the lock of the storage.
        """
        try:
            _, lock, pid, start, namespace, boot_id, root, node = other.split("@", 7)
            if node != self.node:
                return False
            if boot_id != self.boot_id or (root == self.root and lock == _LOCKED and has_lock()):
                return True
            return namespace == str(self.pid_namespace) and not host.is_running(ProcessIdentity(int(pid), float(start)))
        except ValueError:
            return False


def process_of(leader: str) -> str:
    """Return the process in a leader's name; empty for a malformed name."""
    return leader.split("@", 2)[2] if leader.count("@") >= 2 else ""


def name_scope(storage_root: Path, node: str) -> str:
    """Return the leadership scope of the attempts on a machine below a STORAGE_ROOT."""
    return _scope(name_root(storage_root), node)


def _scope(root: str, node: str) -> str:
    return f"attempts {hashlib.sha256(f'{root}@{node}'.encode()).hexdigest()[:32]}"


def name_root(storage_root: Path) -> str:
    """Return a hash of a STORAGE_ROOT."""
    return hashlib.sha256(os.fsencode(storage_root.absolute())).hexdigest()[:16]
