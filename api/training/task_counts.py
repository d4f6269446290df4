"""Selecting and counting tasks, by indexes alone where possible."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, TextClause, func, select, text

from api.db.tables import task_gpus, task_roll, tasks
from api.domain.task import TaskType
from api.domain.training import TaskFilter, TaskOrder, TaskStatus

#: Number of cached statements. Building one takes longer than executing it, and an open page repeats its queries every
#: few seconds.
STATEMENTS = 64

_OF_GPU = task_gpus.join(tasks, tasks.c.serial == task_gpus.c.serial)

#: The registered model of a push. Only queried among pushes, which are few.
_pushed_model = tasks.c.request["config"]["order"]["model"].as_string()

#: Kinds other than training. Written exactly as in the definition of their index, so that the database uses it.
_OTHERS = text("tasks.kind <> 'training'")

#: The same beside other conditions, so that these use their own index instead of checking the kind of each row.
_other = tasks.alias("other")
_AMONG_OTHERS = tasks.c.serial.in_(select(_other.c.serial).where(text("other.kind <> 'training'")))


def source_of(criteria: TaskFilter) -> FromClause:
    """Return the table to search."""
    return tasks if criteria.gpu_uuid is None else _OF_GPU


def conditions_of(criteria: TaskFilter) -> list[ColumnElement[bool] | TextClause]:
    """Return the conditions of a filter."""
    conditions: list[ColumnElement[bool] | TextClause] = []
    if criteria.statuses:
        conditions.append(tasks.c.status.in_(criteria.statuses))
    if criteria.kind is not None:
        conditions.append(tasks.c.kind == criteria.kind)
    if criteria.kind not in (None, TaskType.TRAINING):
        conditions.append(_OTHERS)
    if criteria.model_type is not None:
        conditions.append(tasks.c.model_type == criteria.model_type)
    if criteria.pushed_model is not None:
        conditions.append(_pushed_model == criteria.pushed_model)
    if criteria.gpu_uuid is not None:
        conditions.append(task_gpus.c.gpu_uuid == criteria.gpu_uuid)
    conditions += [tasks.c.owner == owner for owner in (criteria.owner, criteria.seen_by) if owner is not None]
    if criteria.search:
        columns: Sequence[ColumnElement[str]] = (tasks.c.task_id, tasks.c.name, tasks.c.description)
        found = [column.icontains(criteria.search, autoescape=True) for column in columns]
        conditions.append(found[0] | found[1] | found[2])
    return conditions


def count_tasks(connection: Connection, criteria: TaskFilter, order: TaskOrder) -> int:
    """Return the number of matching tasks, or of queued ones for the queue order."""
    if criteria.kind not in (None, TaskType.TRAINING):
        return connection.scalar(_count(criteria, order)) or 0
    every = replace(criteria, kind=None)
    is_by_roll = order is TaskOrder.NEWEST and every == TaskFilter(owner=every.owner, seen_by=every.seen_by)
    found = connection.scalar(_count_roll(every) if is_by_roll else _count(every, order)) or 0
    if criteria.kind is None:
        return found
    # Trainings have no index of their own. They are all tasks except the others, which have one.
    return found - (connection.scalar(_count(every, order, others=True)) or 0)


@lru_cache(STATEMENTS)
def _count_roll(criteria: TaskFilter) -> Select[Any]:
    owners = [task_roll.c.owner == owner for owner in (criteria.owner, criteria.seen_by) if owner is not None]
    return select(func.count()).select_from(task_roll).where(*owners)


@lru_cache(STATEMENTS)
def _count(criteria: TaskFilter, order: TaskOrder, *, others: bool = False) -> Select[Any]:
    conditions = conditions_of(criteria)
    if order is TaskOrder.QUEUE:
        conditions.append(tasks.c.status == TaskStatus.QUEUED)
    if others:
        conditions.append(_AMONG_OTHERS if conditions else _OTHERS)
    is_gpu_only = criteria == TaskFilter(gpu_uuid=criteria.gpu_uuid) and criteria.gpu_uuid is not None and not others
    has_index = is_gpu_only and order is TaskOrder.NEWEST
    return select(func.count()).select_from(task_gpus if has_index else source_of(criteria)).where(*conditions)


def count_statuses(connection: Connection, kind: TaskType | None, owner: str | None) -> dict[TaskStatus, int]:
    """Return the number of tasks in each status, for one owner if given."""
    counted = Counter(_by_status(connection, owner, _conditions_of_others(kind)))
    if kind is TaskType.TRAINING:
        counted.subtract(_by_status(connection, owner, [_AMONG_OTHERS]))
    return {TaskStatus(status): number for status, number in counted.items() if number}


def _conditions_of_others(kind: TaskType | None) -> Sequence[ColumnElement[bool] | TextClause]:
    return [] if kind in (None, TaskType.TRAINING) else conditions_of(TaskFilter(kind=kind))


def _by_status(
    connection: Connection, owner: str | None, conditions: Sequence[ColumnElement[bool] | TextClause]
) -> dict[str, int]:
    query = select(tasks.c.status, func.count().label("number")).where(*conditions).group_by(tasks.c.status)
    if owner is not None:
        query = query.where(tasks.c.owner == owner)
    return {row.status: row.number for row in connection.execute(query)}
