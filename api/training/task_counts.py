"""Counts tasks: which are wanted, and how many there are in all, by indexes alone where that can be."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, TextClause, func, select, text

from api.db.tables import task_gpus, task_roll, tasks
from api.domain.task import TaskType
from api.domain.training import TaskFilter, TaskOrder, TaskStatus

#: Statements that are kept, by what is wanted: to build one anew takes longer than to execute it, and a page that is
#: open asks for the same every few seconds.
STATEMENTS = 64

_OF_GPU = task_gpus.join(tasks, tasks.c.serial == task_gpus.c.serial)

#: The registered model of a push, as its order has it. Asked for among the pushes alone, which are few.
_pushed_model = tasks.c.request["config"]["order"]["model"].as_string()

#: What is no training. Said as the index of these says it: by that alone a database knows that it may use it.
_OTHERS = text("tasks.kind <> 'training'")

#: The same beside other conditions: so these go by their own index, instead of looking at the kind of each row in it.
_other = tasks.alias("other")
_AMONG_OTHERS = tasks.c.serial.in_(select(_other.c.serial).where(text("other.kind <> 'training'")))


def source_of(wanted: TaskFilter) -> FromClause:
    """Where the wanted tasks are looked for."""
    return tasks if wanted.gpu_uuid is None else _OF_GPU


def conditions_of(wanted: TaskFilter) -> list[ColumnElement[bool] | TextClause]:
    """What a task must be to be wanted."""
    conditions: list[ColumnElement[bool] | TextClause] = []
    if wanted.statuses:
        conditions.append(tasks.c.status.in_(wanted.statuses))
    if wanted.kind is not None:
        conditions.append(tasks.c.kind == wanted.kind)
    if wanted.kind not in (None, TaskType.TRAINING):
        conditions.append(_OTHERS)
    if wanted.model_type is not None:
        conditions.append(tasks.c.model_type == wanted.model_type)
    if wanted.pushed_model is not None:
        conditions.append(_pushed_model == wanted.pushed_model)
    if wanted.gpu_uuid is not None:
        conditions.append(task_gpus.c.gpu_uuid == wanted.gpu_uuid)
    conditions += [tasks.c.owner == owner for owner in (wanted.owner, wanted.seen_by) if owner is not None]
    if wanted.search:
        columns: Sequence[ColumnElement[str]] = (tasks.c.task_id, tasks.c.name, tasks.c.description)
        found = [column.icontains(wanted.search, autoescape=True) for column in columns]
        conditions.append(found[0] | found[1] | found[2])
    return conditions


def count_tasks(connection: Connection, wanted: TaskFilter, order: TaskOrder) -> int:
    """How many tasks are wanted, of all or, by the order of the queue, of those that wait."""
    if wanted.kind not in (None, TaskType.TRAINING):
        return connection.scalar(_count(wanted, order)) or 0
    every = replace(wanted, kind=None)
    is_by_roll = order is TaskOrder.NEWEST and every == TaskFilter(owner=every.owner, seen_by=every.seen_by)
    found = connection.scalar(_count_roll(every) if is_by_roll else _count(every, order)) or 0
    if wanted.kind is None:
        return found
    # Trainings are most tasks, and in no index of their own: they are all but the others, of which there is one.
    return found - (connection.scalar(_count(every, order, others=True)) or 0)


@lru_cache(STATEMENTS)
def _count_roll(wanted: TaskFilter) -> Select[Any]:
    owners = [task_roll.c.owner == owner for owner in (wanted.owner, wanted.seen_by) if owner is not None]
    return select(func.count()).select_from(task_roll).where(*owners)


@lru_cache(STATEMENTS)
def _count(wanted: TaskFilter, order: TaskOrder, *, others: bool = False) -> Select[Any]:
    conditions = conditions_of(wanted)
    if order is TaskOrder.QUEUE:
        conditions.append(tasks.c.status == TaskStatus.QUEUED)
    if others:
        conditions.append(_AMONG_OTHERS if conditions else _OTHERS)
    is_by_gpu_alone = wanted == TaskFilter(gpu_uuid=wanted.gpu_uuid) and wanted.gpu_uuid is not None and not others
    has_index = is_by_gpu_alone and order is TaskOrder.NEWEST
    return select(func.count()).select_from(task_gpus if has_index else source_of(wanted)).where(*conditions)


def count_statuses(connection: Connection, kind: TaskType | None, owner: str | None) -> dict[TaskStatus, int]:
    """How many tasks each status has; with an owner of theirs alone."""
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
