"""The table of counts matches the tasks after a server of an older version changed only the tasks."""

from sqlalchemy import delete, select

from api.db.database import Database
from api.db.tables import task_roll, tasks
from api.domain.tasks.training import TaskFilter
from api.training.records.task_queries import count_tasks
from tests.unit.db.builders import NOW, Stores, new_task


def count(database: Database) -> int:
    with database.read() as connection:
        return count_tasks(connection, TaskFilter())


def test_start_adds_and_removes_counts_for_tasks_changed_by_an_older_server(stores: Stores, database: Database):
    for name in ("t1", "t2", "t3"):
        stores.tasks.create(new_task(name), NOW, "ann")
    with database.write() as connection:
        made = select(tasks.c.serial).where(tasks.c.task_id != "t3")
        connection.execute(delete(task_roll).where(task_roll.c.serial.in_(made)))
        connection.execute(delete(tasks).where(tasks.c.task_id == "t3"))
    assert count(database) == 1
    database.migrate()
    assert count(database) == 2
