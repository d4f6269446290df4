"""The name of a server process where several share a database, and whether another process is known to have ended."""

import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from api.domain.task import ProcessIdentity
from api.gpus.sources import host
from api.util.clock import read_boot_id

_LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """Identifies one process of one server among all, earlier and later ones included."""

    node: str
    boot_id: str
    pid_namespace: int
    root: str  #: a short name of its STORAGE_ROOT
    pid: int
    start: int
    token: str

    @classmethod
    def own(cls, node: str, storage_root: Path) -> "ServerIdentity":
        """The identity of this process."""
        own = host.process_identity(os.getpid())
        start = 0 if own is None else int(own.start)
        place = (node, read_boot_id(), host.pid_namespace())
        return cls(*place, name_root(storage_root), os.getpid(), start, secrets.token_hex(8))

    @property
    def scope(self) -> str:
        """The name of what it alone can see: the attempts of its machine below its STORAGE_ROOT."""
        return _scope(self.root, self.node)

    @property
    def cluster_scope(self) -> str:
        """The name of what every server of a cluster with this STORAGE_ROOT can see."""
        return _scope(self.root, "")

    def as_leader(self, has_lock: bool) -> str:
        """Its name as a leader in the database; the node's name comes last, as it can hold anything. `has_lock`: it
        leads with the lock of its storage, which the kernel frees when its process ends.
        """
        return "@".join((self.token, _LOCKED if has_lock else "", self.process))

    @property
    def process(self) -> str:
        """What tells this process from all others, whoever leads in it."""
        parts = (self.pid, self.start, self.pid_namespace, self.boot_id, self.root, self.node)
        return "@".join(str(part) for part in parts)

    def knows_ended(self, process: str) -> bool:
        """Whether another process, by what `process` says there, has certainly ended."""
        return self.knows_gone(f"@@{process}", lambda: False)

    def knows_gone(self, other: str, has_lock: Callable[[], bool]) -> bool:
        """Whether the process of this name has certainly ended. `has_lock`: whether this one can have the lock."""
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
    """The process of a leader by its name; empty where that is none."""
    return leader.split("@", 2)[2] if leader.count("@") >= 2 else ""


def name_scope(storage_root: Path, node: str) -> str:
    """The name of what only servers of this machine and STORAGE_ROOT can see."""
    return _scope(name_root(storage_root), node)


def _scope(root: str, node: str) -> str:
    return f"attempts {hashlib.sha256(f'{root}@{node}'.encode()).hexdigest()[:32]}"


def name_root(storage_root: Path) -> str:
    """A short name of a STORAGE_ROOT."""
    return hashlib.sha256(os.fsencode(storage_root.absolute())).hexdigest()[:16]
