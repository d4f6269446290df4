"""The roll by which tasks are counted."""

from sqlalchemy import Connection, delete, exists, insert, select

from api.storage.tables import task_roll, tasks

_IN_ROLL = exists().where(task_roll.c.serial == tasks.c.serial)
_IN_TASKS = exists().where(tasks.c.serial == task_roll.c.serial)

_ADD = insert(task_roll).from_select(["serial", "owner"], select(tasks.c.serial, tasks.c.owner).where(~_IN_ROLL))
_REMOVE = delete(task_roll).where(~_IN_TASKS)


def repair_roll(connection: Connection) -> None:
    """Make the roll agree with the tasks.

    A server of a version without the roll, which runs on while others are upgraded, adds and removes tasks only.
    """
    connection.execute(_ADD)
    connection.execute(_REMOVE)
