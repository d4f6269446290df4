"""The machine's name in the database: one for all its storages, and never that of another machine."""

import hashlib
import socket
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.database_url import DatabaseError
from api.db.tables import attempts, nodes, registrations

_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class Node:
    """This machine. `former` is what it was called when this storage was last used, if that was something else."""

    name: str
    machine: str  #: what tells machines of one name apart; empty where the system has nothing to tell
    is_settled: bool  #: whether the name was given or stored, and is not merely that of the host
    former: str | None = None
    is_known: bool = field(default=False, compare=False)  #: the storage has this very record already

    @property
    def record(self) -> bytes:
        """The content of STORAGE_ROOT/node."""
        return f"{self.name}\n{self.machine}\n".encode()


def name_node(path: Path, given: str) -> Node:
    """Names this machine: as NODE_NAME says (`given`); else as this storage remembers, unless it has come from another
    machine; else by the name of the host. Raises OSError.
    """
    machine = read_machine()
    known, of = _read(path)
    is_same = known is not None and (not machine or of in ("", machine))
    name = given or (known if known is not None and is_same else socket.gethostname())
    former = known if is_same and known != name else None
    is_known = (known, of) == (name, machine)
    return Node(name, machine, is_settled=bool(given) or name == known, former=former, is_known=is_known)


def read_machine() -> str:
    """A name for this installation that says nothing else about it."""
    try:
        own = _MACHINE_ID.read_bytes().strip()
    except OSError:
        return ""
    # The id itself is not to be shown around, says its manual page.
    return hashlib.sha256(b"diffusion-pipe-api:" + own).hexdigest()[:32] if own else ""


def _read(path: Path) -> tuple[str | None, str]:
    """The name and the machine; an older version wrote no machine."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return None, ""
    name = lines[0].strip() if lines else ""
    return name or None, lines[1].strip() if len(lines) > 1 else ""


class NodeStore:
    """The names of the machines that share a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, node: Node, root: Path) -> None:
        """Claims the name for this machine, and moves what is below `root` from its former name to it.

        Raises DatabaseError when it is the name of another machine, unless it is settled that it is this one's.
        """
        try:
            self._register(node, root)
        except IntegrityError:
            # Another server of this machine, or of one of the same name, was first.
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
                        f"another machine on the database {self._database.shown} is called {node.name!r}: give this "
                        "one a NODE_NAME of its own, or this very one if it has taken the other's place"
                    )
                connection.execute(update(nodes).where(mine).values(machine=node.machine))
            if node.former is not None:
                _rename(connection, node.former, node.name, root)


def _rename(connection: Connection, former: str, name: str, root: Path) -> None:
    below = attempts.c.directory.startswith(f"{root}/", autoescape=True)
    connection.execute(update(attempts).where((attempts.c.node == former) & below).values(node=name))
    connection.execute(update(registrations).where(registrations.c.node == former).values(node=name))
