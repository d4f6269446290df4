"""Reading one task by its id within a transaction."""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, insert, select

from api.db.rows import SUMMARY_COLUMNS, read_summary, read_task
from api.db.tables import task_roll, tasks
from api.domain.task import TaskType
from api.domain.training import TaskSummary, TrainingTask
from api.errors import TaskNotFound

#: Condition for one task. Its id is passed at execution.
OF_TASK = tasks.c.task_id == bindparam("of_task")

# Built once: these are the most frequent queries, and building a statement takes as long as executing it.
_TASK = select(tasks).where(OF_TASK)
_SUMMARY = select(*SUMMARY_COLUMNS).where(OF_TASK)
_LOCKED_SUMMARY = _SUMMARY.with_for_update()

#: Adds a new task to the table by which tasks are counted.
ENROLL = insert(task_roll).from_select(
    [column.name for column in task_roll.c], select(*[tasks.c[column.name] for column in task_roll.c]).where(OF_TASK)
)


def find_task(connection: Connection, task_id: str, kinds: Collection[TaskType] | None = None) -> TrainingTask:
    """Return the task with its request and plan, if its kind matches. Raise TaskNotFound."""
    row = connection.execute(_TASK, {"of_task": task_id}).one_or_none()
    if row is None or not is_of(row.kind, kinds):
        raise TaskNotFound.named(task_id)
    return read_task(row)


def find_summary(
    connection: Connection, task_id: str, kinds: Collection[TaskType] | None = None, *, lock: bool = False
) -> TaskSummary:
    """Return the task without its request and plan, if its kind matches.

    `lock` prevents changes by others until this transaction ends. Raise TaskNotFound.
    """
    row = connection.execute(_LOCKED_SUMMARY if lock else _SUMMARY, {"of_task": task_id}).one_or_none()
    if row is None or not is_of(row.kind, kinds):
        raise TaskNotFound.named(task_id)
    return read_summary(row)


def is_of(kind: str, kinds: Collection[TaskType] | None) -> bool:
    """Return whether the kind is one of these. Without kinds it always is."""
    return kinds is None or kind in kinds
