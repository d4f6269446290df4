"""The state that one round of the training loop needs, read in one database snapshot."""

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, String, bindparam, or_, select

from api.db.rows import SUMMARY_COLUMNS, read_attempt, read_lease, read_summary
from api.db.tables import attempts, leases, tasks
from api.domain.lease import Lease, LeaseKind, LeaseState
from api.domain.training import Attempt, AttemptStatus, TaskSummary

# Built once: they run twice per second, and building a statement takes as long as executing it.
_NODE = bindparam("of_node", type_=String)
_IS_OF = or_(_NODE == "", attempts.c.node == _NODE) & attempts.c.directory.like(bindparam("of_root"), escape="/")
_IS_OPEN = attempts.c.status != AttemptStatus.ENDED
_OPEN = select(attempts).where(_IS_OPEN, _IS_OF).order_by(attempts.c.created_at)
_OPEN_ELSEWHERE = select(attempts).where(_IS_OPEN, ~_IS_OF).order_by(attempts.c.created_at)
_TASKS = select(*SUMMARY_COLUMNS).where(tasks.c.task_id.in_(select(attempts.c.task_id).where(_IS_OPEN, _IS_OF)))
_DRAINING = (
    select(leases, attempts.c.directory)
    .join(attempts, attempts.c.uid == leases.c.attempt_uid)
    .where(leases.c.kind == LeaseKind.GPU, leases.c.state == LeaseState.DRAINING, _IS_OF)
    .order_by(leases.c.resource)
)


class DrainingGPU(NamedTuple):
    """A GPU whose holder has ended but may still be using it, with the attempt's directory."""

    lease: Lease
    directory: Path


class Round(NamedTuple):
    """Open attempts, oldest first, with their tasks by id, and draining GPUs."""

    attempts: list[Attempt]
    tasks: dict[str, TaskSummary]
    drains: list[DrainingGPU]


def read_round(connection: Connection, node: str | None, root: Path) -> Round:
    """Return the round of a node, or of all nodes, below this directory."""
    parameters = _of(node, root)
    found = [read_attempt(row) for row in connection.execute(_OPEN, parameters)]
    rows = connection.execute(_TASKS, parameters) if found else ()
    return Round(found, {row.task_id: read_summary(row) for row in rows}, _read_drains(connection, parameters))


def read_open(connection: Connection, node: str | None, root: Path) -> list[Attempt]:
    """Return the open attempts of a node, or of all nodes, below this directory."""
    return [read_attempt(row) for row in connection.execute(_OPEN, _of(node, root))]


def read_open_elsewhere(connection: Connection, node: str | None, root: Path) -> list[Attempt]:
    """Return the open attempts of other nodes and directories."""
    return [read_attempt(row) for row in connection.execute(_OPEN_ELSEWHERE, _of(node, root))]


def read_drains(connection: Connection, node: str | None, root: Path) -> list[DrainingGPU]:
    """Return the draining GPUs of a node, or of all nodes, whose attempts are below this directory."""
    return _read_drains(connection, _of(node, root))


def _read_drains(connection: Connection, parameters: dict[str, str]) -> list[DrainingGPU]:
    return [DrainingGPU(read_lease(row), Path(row.directory)) for row in connection.execute(_DRAINING, parameters)]


def _of(node: str | None, root: Path) -> dict[str, str]:
    """Return the parameters of _IS_OF. An empty node stands for all nodes."""
    below = f"{root}/".replace("/", "//").replace("%", "/%").replace("_", "/_")
    return {"of_node": node or "", "of_root": f"{below}%"}
