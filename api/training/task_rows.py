"""One task, found by its id within a transaction."""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, insert, select

from api.db.rows import SUMMARY_COLUMNS, read_summary, read_task
from api.db.tables import task_roll, tasks
from api.domain.task import TaskType
from api.domain.training import TaskSummary, TrainingTask
from api.errors import TaskNotFound

#: The condition of a statement that is about one task; its id is given when the statement is executed.
OF_TASK = tasks.c.task_id == bindparam("of_task")

# Made once: these are most of what is read, and to build a statement anew takes as long as to execute it.
_TASK = select(tasks).where(OF_TASK)
_SUMMARY = select(*SUMMARY_COLUMNS).where(OF_TASK)
_LOCKED_SUMMARY = _SUMMARY.with_for_update()

#: Puts a new task into the roll by which tasks are counted.
ENROLL = insert(task_roll).from_select(
    [column.name for column in task_roll.c], select(*[tasks.c[column.name] for column in task_roll.c]).where(OF_TASK)
)


def find_task(connection: Connection, task_id: str, kinds: Collection[TaskType] | None = None) -> TrainingTask:
    """The task with everything; with kinds only one of these. Raises TaskNotFound."""
    row = connection.execute(_TASK, {"of_task": task_id}).one_or_none()
    if row is None or not is_of(row.kind, kinds):
        raise TaskNotFound.named(task_id)
    return read_task(row)


def find_summary(
    connection: Connection, task_id: str, kinds: Collection[TaskType] | None = None, *, lock: bool = False
) -> TaskSummary:
    """The task without its request and plan; with `lock` nobody else changes it before this transaction ends.

    With kinds only one of these. Raises TaskNotFound.
    """
    row = connection.execute(_LOCKED_SUMMARY if lock else _SUMMARY, {"of_task": task_id}).one_or_none()
    if row is None or not is_of(row.kind, kinds):
        raise TaskNotFound.named(task_id)
    return read_summary(row)


def is_of(kind: str, kinds: Collection[TaskType] | None) -> bool:
    """Whether a kind is one of these; without any it always is."""
    return kinds is None or kind in kinds
