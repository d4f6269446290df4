"""Pages of tasks: newest first, or those that wait in the order in which they are served."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, TextClause, func, select, text, tuple_

from api.models.task import TaskType
from api.models.training import TaskFilter, TaskOrder, TaskStatus, TaskSummary
from api.storage.rows import SUMMARY_COLUMNS, read_summary
from api.storage.tables import task_gpus, tasks

#: The order in which waiting tasks are served: by priority, then age.
SERVED_ORDER = (tasks.c.priority.desc(), tasks.c.queued_at, tasks.c.serial)

_OF_GPU = task_gpus.join(tasks, tasks.c.serial == task_gpus.c.serial)


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
    conditions = _conditions(wanted)
    # By the index of a GPU's tasks when there is a GPU: it has them in their order, and often few of them.
    source, serial = (tasks, tasks.c.serial) if wanted.gpu_uuid is None else (_OF_GPU, task_gpus.c.serial)
    if order is TaskOrder.QUEUE:
        conditions.append(tasks.c.status == TaskStatus.QUEUED)
    query = select(*SUMMARY_COLUMNS).select_from(source).where(*conditions).limit(limit)
    query = _newest(query, serial, cursor) if order is TaskOrder.NEWEST else _served(query, connection, cursor, wanted)
    if cursor is None and offset:
        query = query.offset(offset)
    is_gpu_only = wanted == TaskFilter(gpu_uuid=wanted.gpu_uuid) and wanted.gpu_uuid is not None
    has_index = is_gpu_only and order is TaskOrder.NEWEST
    counted = select(func.count()).select_from(task_gpus if has_index else source).where(*conditions)
    total = connection.scalar(counted) or 0
    return [read_summary(row) for row in connection.execute(query)], total


def _newest(query: Select[Any], serial: ColumnElement[int], cursor: int | None) -> Select[Any]:
    return query.order_by(serial.desc()) if cursor is None else query.order_by(serial.desc()).where(serial < cursor)


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
    waits = (tasks.c.status == TaskStatus.QUEUED, *_conditions(wanted))
    source = tasks if wanted.gpu_uuid is None else _OF_GPU
    found = set(connection.scalars(select(tasks.c.serial).select_from(source).where(*waits)))
    wished = [serial for serial in served if serial in found]
    shown = wished[offset : offset + limit]
    rows = connection.execute(select(*SUMMARY_COLUMNS).where(tasks.c.serial.in_(shown)))
    by_serial = {row.serial: read_summary(row) for row in rows}
    return [by_serial[serial] for serial in shown if serial in by_serial], len(wished)


def find_by_serial(connection: Connection, serial: int) -> TaskSummary | None:
    """The task with this serial number; None when there is none."""
    row = connection.execute(select(*SUMMARY_COLUMNS).where(tasks.c.serial == serial)).one_or_none()
    return None if row is None else read_summary(row)


def _conditions(wanted: TaskFilter) -> list[ColumnElement[bool] | TextClause]:
    conditions: list[ColumnElement[bool] | TextClause] = []
    if wanted.statuses:
        conditions.append(tasks.c.status.in_(wanted.statuses))
    if wanted.kind is not None:
        conditions.append(tasks.c.kind == wanted.kind)
    if wanted.kind not in (None, TaskType.TRAINING):
        # Said in full, as the index says it: by that alone a database knows that it may use it.
        conditions.append(text("tasks.kind <> 'training'"))
    if wanted.model_type is not None:
        conditions.append(tasks.c.model_type == wanted.model_type)
    if wanted.gpu_uuid is not None:
        conditions.append(task_gpus.c.gpu_uuid == wanted.gpu_uuid)
    conditions += [tasks.c.owner == owner for owner in (wanted.owner, wanted.seen_by) if owner is not None]
    if wanted.search:
        columns: Sequence[ColumnElement[str]] = (tasks.c.task_id, tasks.c.name, tasks.c.description)
        found = [column.icontains(wanted.search, autoescape=True) for column in columns]
        conditions.append(found[0] | found[1] | found[2])
    return conditions
