"""The name of this machine in the database: one for all its storages, and unique among machines."""

import hashlib
import socket
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.database_url import DatabaseError
from api.db.tables import attempts, nodes, registrations

_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class Node:
    """A machine. `former` is its name at the last use of this storage, if it was different."""

    name: str
    machine: str  #: distinguishes machines of one name; empty if the system has no machine id
    is_settled: bool  #: whether the name was configured or stored, not just taken from the host
    former: str | None = None
    is_known: bool = field(default=False, compare=False)  #: whether the storage already has this record

    @property
    def record(self) -> bytes:
        """The content of STORAGE_ROOT/node."""
        return f"{self.name}\n{self.machine}\n".encode()


def name_node(path: Path, given: str) -> Node:
    """Return this machine with its name. Raises OSError.

    The name is NODE_NAME (`given`), else the name stored in this storage by this machine, else the host name.
    """
    machine = read_machine()
    known, of = _read(path)
    is_same = known is not None and (not machine or of in ("", machine))
    name = given or (known if known is not None and is_same else socket.gethostname())
    former = known if is_same and known != name else None
    is_known = (known, of) == (name, machine)
    return Node(name, machine, is_settled=bool(given) or name == known, former=former, is_known=is_known)


def read_machine() -> str:
    """Return an anonymous id of this installation."""
    try:
        own = _MACHINE_ID.read_bytes().strip()
    except OSError:
        return ""
    # machine-id(5): the id itself must not be exposed.
    return hashlib.sha256(b"diffusion-pipe-api:" + own).hexdigest()[:32] if own else ""


def _read(path: Path) -> tuple[str | None, str]:
    """Return the stored name and machine. Older versions stored no machine."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return None, ""
    name = lines[0].strip() if lines else ""
    return name or None, lines[1].strip() if len(lines) > 1 else ""


class NodeStore:
    """The table of nodes, for the names of machines."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, node: Node, root: Path) -> None:
        """Claim the name for this machine, and move attempts below `root` from the former name to it.

        Raises DatabaseError if the name belongs to another machine, unless the name is settled.
        """
        try:
            self._register(node, root)
        except IntegrityError:
            # Another server registered the name at the same time.
            self._register(node, root)

    def _register(self, node: Node, root: Path) -> None:
        with self._database.write() as connection:
            mine = nodes.c.name == node.name
            machine = connection.scalar(select(nodes.c.machine).where(mine).with_for_update())
            if machine is None:
                connection.execute(insert(nodes).values(name=node.name, machine=node.machine))
            elif machine != node.machine and node.machine:
                if machine and not node.is_settled:
                    raise DatabaseError(
                        f"another machine on the database {self._database.shown} has the name {node.name!r}: set "
                        "another NODE_NAME here, or this same name if this machine replaces the other"
                    )
                connection.execute(update(nodes).where(mine).values(machine=node.machine))
            if node.former is not None:
                below = attempts.c.directory.startswith(f"{root}/", autoescape=True)
                connection.execute(
                    update(attempts).where((attempts.c.node == node.former) & below).values(node=node.name)
                )
                connection.execute(
                    update(registrations).where(registrations.c.node == node.former).values(node=node.name)
                )
