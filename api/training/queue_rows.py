"""Reading the queue. For a long queue, only changed rows are read completely."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Boolean, ColumnElement, Connection, bindparam, func, literal_column, select, text

from api.db.rows import SUMMARY_COLUMNS, read_summary, to_seconds
from api.db.tables import tasks
from api.domain.running_tasks import TRANSFERS, RunningTasks, RunningTransfer
from api.domain.task import TaskType
from api.domain.training import TaskStatus, TaskSummary
from api.domain.usage import Owner
from api.training.task_queries import SERVED_ORDER
from api.util.batches import in_batches

#: Queue length from which reading change marks first is cheaper than reading complete rows.
LONG = 500

#: Limit of rows per statement.
_AT_ONCE = 500


class TaskName(NamedTuple):
    """Name and owner of a task that other tasks wait for."""

    task_id: str
    name: str | None
    owner: str | None


#: Columns that change whenever a queued task's row changes, as the driver returns them; the serial number first.
Mark = tuple[Any, ...]

#: Queued tasks in queue order, by serial number, each with its row's mark.
Queue = Mapping[int, tuple[Mark, TaskSummary]]

#: Seconds between two tasks queued at the same time.
_TICK = 1e-6

_WAITS = tasks.c.status == TaskStatus.QUEUED
# Every change of a queued task changes one of these columns, even if the clock was set back.
_MARKED = (
    "serial", "priority", "priority_class", "queued_at", "queue_rank", "not_before", "start_not_before", "updated_at",
    "attempts", "name", "owner",
)  # fmt: skip
_WHOLE = select(*SUMMARY_COLUMNS).where(_WAITS).order_by(*SERVED_ORDER)
_MARKS = select(*[tasks.c[name] for name in _MARKED]).where(_WAITS).order_by(*SERVED_ORDER)
# Plain SQL with an index hint: SQLite would otherwise use the index on statuses and read every row of the queue.
_LATEST = {
    "sqlite": text("SELECT max(queued_at) FROM tasks INDEXED BY ix_tasks_queued WHERE status = 'queued'"),
    "postgresql": text("SELECT max(queued_at) FROM tasks WHERE status = 'queued'"),
}
_NAMES = select(tasks.c.task_id, tasks.c.name, tasks.c.owner).where(
    tasks.c.task_id.in_(bindparam("of_tasks", expanding=True))
)
_THESE = select(*SUMMARY_COLUMNS).where(tasks.c.serial.in_(bindparam("serials", expanding=True)))
# Plain SQL: PostgreSQL treats two expressions with one parameter each as different.
_ON_GPUS: ColumnElement[bool] = literal_column("gpu_count > 0", Boolean)
_mark = attrgetter(*_MARKED)
_RUNS = tasks.c.status.in_([status for status in TaskStatus if status.is_active])
_PLACES = (
    select(tasks.c.owner, tasks.c.kind, _ON_GPUS.label("on_gpus"), func.count().label("number"))
    .where(_RUNS)
    .group_by(tasks.c.owner, tasks.c.kind, _ON_GPUS)
)
_ADDRESS = tasks.c.request["config"]["order"]["url"].as_string().label("address")
_RUNNING_TRANSFERS = select(tasks.c.owner, _ADDRESS).where(_RUNS, tasks.c.kind.in_(sorted(TRANSFERS)))
_ADDRESSES = select(tasks.c.task_id, _ADDRESS).where(tasks.c.task_id.in_(bindparam("of_tasks", expanding=True)))


def join_queue(connection: Connection, now: datetime) -> float:
    """Return a queue time after that of all queued tasks, even if the clock was set back."""
    latest, seconds = connection.scalar(_LATEST[connection.dialect.name]), to_seconds(now)
    return seconds if latest is None or latest < seconds else latest + _TICK


def read_queue(connection: Connection, known: Queue) -> Queue:
    """Return the queued tasks in queue order: by class, priority, then age. `known` is the previous result."""
    if len(known) < LONG:
        return {row.serial: (_mark(row), read_summary(row)) for row in connection.execute(_WHOLE)}
    order, changed = _compare_marks(connection, known)
    if not changed and len(order) == len(known):
        return known
    fresh = dict[int, tuple[Mark, TaskSummary]]()
    for serials in in_batches(list(changed), _AT_ONCE):
        some = connection.execute(_THESE, {"serials": serials})
        fresh.update((row.serial, (changed[row.serial], read_summary(row))) for row in some)
    return {serial: fresh.get(serial) or known[serial] for serial in order if serial in fresh or serial in known}


def _compare_marks(connection: Connection, known: Queue) -> tuple[list[int], dict[int, Mark]]:
    """Return the serial numbers of all queued tasks in order, and the marks of those that have changed."""
    order, changed = list[int](), dict[int, Mark]()
    for mark in _read_marks(connection):
        serial = mark[0]
        order.append(serial)
        before = known.get(serial)
        if before is None or before[0] != mark:
            changed[serial] = mark
    return order, changed


def _read_marks(connection: Connection) -> Iterator[Mark]:
    # Reads the driver's tuples in batches. Row objects would take twice as long, and all tuples at once would trigger a
    # garbage collection of a third of a second.
    cursor = connection.execute(_MARKS).cursor
    while cursor is not None and (some := cursor.fetchmany(_AT_ONCE)):
        yield from some


def read_names(connection: Connection, task_ids: Collection[str]) -> list[TaskName]:
    """Return names and owners of the existing ones of these tasks."""
    return [TaskName(*row) for row in connection.execute(_NAMES, {"of_tasks": list(task_ids)})] if task_ids else []


def read_addresses(connection: Connection, task_ids: Sequence[str]) -> dict[str, str | None]:
    """Return the URLs of these downloads by task id. None means a file of the hub."""
    found: dict[str, str | None] = {}
    for start in range(0, len(task_ids), _AT_ONCE):
        rows = connection.execute(_ADDRESSES, {"of_tasks": task_ids[start : start + _AT_ONCE]})
        found.update((row.task_id, row.address) for row in rows)
    return found


def read_running_tasks(connection: Connection) -> RunningTasks:
    """Return the running tasks, as counted for limits."""
    rows, working, sampling = connection.execute(_PLACES).all(), Counter[Owner](), Counter[Owner]()
    for row in rows:
        if not row.on_gpus and row.kind not in TRANSFERS:
            (sampling if row.kind == TaskType.SAMPLE else working)[row.owner] += row.number
    # Most passes have no transfers; then their requests need not be read.
    has_transfers = any(row.kind in TRANSFERS for row in rows)
    transfers = connection.execute(_RUNNING_TRANSFERS).all() if has_transfers else ()
    return RunningTasks(
        sum(row.number for row in rows if row.on_gpus),
        working,
        tuple(RunningTransfer(row.owner, row.address) for row in transfers),
        sampling,
    )
