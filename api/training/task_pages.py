"""Pages of tasks, newest first or in queue order."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select, tuple_

from api.db.rows import SUMMARY_COLUMNS, read_summary
from api.db.tables import task_gpus, tasks
from api.domain.training import TaskFilter, TaskOrder, TaskStatus, TaskSummary
from api.training.task_counts import STATEMENTS, conditions_of, count_tasks, source_of

#: The queue order: by priority, then age.
SERVED_ORDER = (tasks.c.priority.desc(), tasks.c.queued_at, tasks.c.serial)


def read_page(
    connection: Connection,
    criteria: TaskFilter,
    order: TaskOrder,
    limit: int,
    offset: int | None,
    cursor: int | None,
) -> tuple[list[TaskSummary], int]:
    """Return up to `limit` tasks after the serial number `cursor` or after `offset` rows, and the total number."""
    total = count_tasks(connection, criteria, order)
    if order is TaskOrder.NEWEST:
        newest = _newest(criteria, has_cursor=cursor is not None)
        found = connection.execute(newest, {"most": limit, "skipped": offset or 0, "behind": cursor})
    else:
        waits = tasks.c.status == TaskStatus.QUEUED
        query = select(*SUMMARY_COLUMNS).select_from(source_of(criteria)).where(waits, *conditions_of(criteria))
        served = _served(query.limit(limit), connection, cursor, criteria)
        found = connection.execute(served.offset(offset) if cursor is None and offset else served)
    return [read_summary(row) for row in found], total


@lru_cache(STATEMENTS)
def _newest(criteria: TaskFilter, *, has_cursor: bool) -> Select[Any]:
    # The index of a GPU's tasks has them in order, and often few of them.
    serial = tasks.c.serial if criteria.gpu_uuid is None else task_gpus.c.serial
    query = select(*SUMMARY_COLUMNS).select_from(source_of(criteria)).where(*conditions_of(criteria))
    query = query.order_by(serial.desc()).limit(bindparam("most"))
    return query.where(serial < bindparam("behind")) if has_cursor else query.offset(bindparam("skipped"))


def _served(query: Select[Any], connection: Connection, cursor: int | None, criteria: TaskFilter) -> Select[Any]:
    """Return the query continued after the queue position that the cursor's task has, or had when it left."""
    query = query.order_by(*SERVED_ORDER)
    position = (-tasks.c.priority, tasks.c.queued_at, tasks.c.serial)
    found = select(*position).where(tasks.c.serial == cursor)
    if criteria.seen_by is not None:
        found = found.where(tasks.c.owner == criteria.seen_by)
    last = None if cursor is None else connection.execute(found).one_or_none()
    # A deleted task has no position: start again, so that some tasks are repeated but none is skipped.
    return query if last is None else query.where(tuple_(*position) > tuple_(*last))


def read_served(
    connection: Connection, criteria: TaskFilter, served: Sequence[int], limit: int, offset: int
) -> tuple[list[TaskSummary], int]:
    """Return up to `limit` queued tasks after `offset` rows, and the total number.

    `served` has serial numbers in the order of the result.
    """
    waits = (tasks.c.status == TaskStatus.QUEUED, *conditions_of(criteria))
    found = set(connection.scalars(select(tasks.c.serial).select_from(source_of(criteria)).where(*waits)))
    matching = [serial for serial in served if serial in found]
    shown = matching[offset : offset + limit]
    rows = connection.execute(select(*SUMMARY_COLUMNS).where(tasks.c.serial.in_(shown)))
    by_serial = {row.serial: read_summary(row) for row in rows}
    return [by_serial[serial] for serial in shown if serial in by_serial], len(matching)


def find_by_serial(connection: Connection, serial: int) -> TaskSummary | None:
    """Return the task with this serial number, or None."""
    row = connection.execute(select(*SUMMARY_COLUMNS).where(tasks.c.serial == serial)).one_or_none()
    return None if row is None else read_summary(row)
