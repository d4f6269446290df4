"""Pages of tasks: newest first, or those that wait in the order in which they are served."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select, tuple_

from api.db.rows import SUMMARY_COLUMNS, read_summary
from api.db.tables import task_gpus, tasks
from api.domain.training import TaskFilter, TaskOrder, TaskStatus, TaskSummary
from api.training.task_counts import STATEMENTS, conditions_of, count_tasks, source_of

#: The order in which waiting tasks are served: by priority, then age.
SERVED_ORDER = (tasks.c.priority.desc(), tasks.c.queued_at, tasks.c.serial)


def read_page(
    connection: Connection,
    wanted: TaskFilter,
    order: TaskOrder,
    limit: int,
    offset: int | None,
    cursor: int | None,
) -> tuple[list[TaskSummary], int]:
    """Up to `limit` tasks, after the one with the serial number `cursor` or after `offset` rows; and how many there
    are in all.
    """
    total = count_tasks(connection, wanted, order)
    if order is TaskOrder.NEWEST:
        newest = _newest(wanted, has_cursor=cursor is not None)
        found = connection.execute(newest, {"most": limit, "skipped": offset or 0, "behind": cursor})
    else:
        waits = tasks.c.status == TaskStatus.QUEUED
        query = select(*SUMMARY_COLUMNS).select_from(source_of(wanted)).where(waits, *conditions_of(wanted))
        served = _served(query.limit(limit), connection, cursor, wanted)
        found = connection.execute(served.offset(offset) if cursor is None and offset else served)
    return [read_summary(row) for row in found], total


@lru_cache(STATEMENTS)
def _newest(wanted: TaskFilter, *, has_cursor: bool) -> Select[Any]:
    # By the index of a GPU's tasks when there is a GPU: it has them in their order, and often few of them.
    serial = tasks.c.serial if wanted.gpu_uuid is None else task_gpus.c.serial
    query = select(*SUMMARY_COLUMNS).select_from(source_of(wanted)).where(*conditions_of(wanted))
    query = query.order_by(serial.desc()).limit(bindparam("most"))
    return query.where(serial < bindparam("behind")) if has_cursor else query.offset(bindparam("skipped"))


def _served(query: Select[Any], connection: Connection, cursor: int | None, wanted: TaskFilter) -> Select[Any]:
    """The query, going on after the place that the cursor's task has in the queue, or had when it left it."""
    query = query.order_by(*SERVED_ORDER)
    place = (-tasks.c.priority, tasks.c.queued_at, tasks.c.serial)
    found = select(*place).where(tasks.c.serial == cursor)
    if wanted.seen_by is not None:
        found = found.where(tasks.c.owner == wanted.seen_by)
    last = None if cursor is None else connection.execute(found).one_or_none()
    # One that was deleted meanwhile has no place: from the front some are shown twice, and none is skipped.
    return query if last is None else query.where(tuple_(*place) > tuple_(*last))


def read_served(
    connection: Connection, wanted: TaskFilter, served: Sequence[int], limit: int, offset: int
) -> tuple[list[TaskSummary], int]:
    """Up to `limit` waiting tasks after `offset` rows, in the order of `served`, which are serial numbers; and how many
    of these there are in all.
    """
    waits = (tasks.c.status == TaskStatus.QUEUED, *conditions_of(wanted))
    found = set(connection.scalars(select(tasks.c.serial).select_from(source_of(wanted)).where(*waits)))
    wished = [serial for serial in served if serial in found]
    shown = wished[offset : offset + limit]
    rows = connection.execute(select(*SUMMARY_COLUMNS).where(tasks.c.serial.in_(shown)))
    by_serial = {row.serial: read_summary(row) for row in rows}
    return [by_serial[serial] for serial in shown if serial in by_serial], len(wished)


def find_by_serial(connection: Connection, serial: int) -> TaskSummary | None:
    """The task with this serial number; None when there is none."""
    row = connection.execute(select(*SUMMARY_COLUMNS).where(tasks.c.serial == serial)).one_or_none()
    return None if row is None else read_summary(row)
