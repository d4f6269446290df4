"""What the training loop looks after in a round, read in one state of the database."""

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, String, bindparam, or_, select

from api.db.rows import SUMMARY_COLUMNS, read_attempt, read_lease, read_summary
from api.db.tables import attempts, leases, tasks
from api.domain.lease import Lease, LeaseKind, LeaseState
from api.domain.training import Attempt, AttemptStatus, TaskSummary

# Made once: these are asked for twice a second for as long as the service runs, and to build one takes as long as to
# execute it.
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
    """A GPU whose holder has ended and may still be there, with the directory of that attempt."""

    lease: Lease
    directory: Path


class Round(NamedTuple):
    """The attempts that have not ended, oldest first, with their tasks by id, and the GPUs that drain."""

    attempts: list[Attempt]
    tasks: dict[str, TaskSummary]
    drains: list[DrainingGPU]


def read_round(connection: Connection, node: str | None, root: Path) -> Round:
    """What is to be looked after of this node, or of all, below this directory."""
    place = _of(node, root)
    found = [read_attempt(row) for row in connection.execute(_OPEN, place)]
    rows = connection.execute(_TASKS, place) if found else ()
    return Round(found, {row.task_id: read_summary(row) for row in rows}, _read_drains(connection, place))


def read_open(connection: Connection, node: str | None, root: Path) -> list[Attempt]:
    """The attempts of this node, or of all, below this directory, that have not ended."""
    return [read_attempt(row) for row in connection.execute(_OPEN, _of(node, root))]


def read_open_elsewhere(connection: Connection, node: str | None, root: Path) -> list[Attempt]:
    """Those of other nodes and directories."""
    return [read_attempt(row) for row in connection.execute(_OPEN_ELSEWHERE, _of(node, root))]


def read_drains(connection: Connection, node: str | None, root: Path) -> list[DrainingGPU]:
    """The GPUs of this node, or of all, whose holders, below this directory, have ended and may still be there."""
    return _read_drains(connection, _of(node, root))


def _read_drains(connection: Connection, place: dict[str, str]) -> list[DrainingGPU]:
    return [DrainingGPU(read_lease(row), Path(row.directory)) for row in connection.execute(_DRAINING, place)]


def _of(node: str | None, root: Path) -> dict[str, str]:
    """The values of _IS_OF for the attempts of a node, or of all (empty), below a directory."""
    below = f"{root}/".replace("/", "//").replace("%", "/%").replace("_", "/_")
    return {"of_node": node or "", "of_root": f"{below}%"}
