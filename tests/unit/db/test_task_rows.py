"""One task by its id, within a transaction."""

import pytest

from api.domain.training import TaskStatus
from api.errors import TaskNotFound
from api.training.task_rows import find_summary, find_task
from tests.unit.db.builders import NOW, Stores, new_task


def test_a_task_is_found_with_all_that_belongs_to_it(stores: Stores):
    made = stores.tasks.create(new_task("t1", name="cats"), NOW, "ann")
    stores.tasks.create(new_task("t2"), NOW, "ann")
    with stores.database.read() as connection:
        assert find_task(connection, "t1") == made


@pytest.mark.parametrize("lock", [False, True])
def test_a_summary_is_found_by_whoever_reads_and_whoever_changes(stores: Stores, lock: bool):
    stores.tasks.create(new_task("t1", name="cats"), NOW, "ann")
    with stores.database.write() as connection:
        found = find_summary(connection, "t1", lock=lock)
    assert (found.task_id, found.name, found.status) == ("t1", "cats", TaskStatus.QUEUED)


def test_an_id_that_no_task_has_is_said_shortened(stores: Stores):
    with stores.database.read() as connection:
        for find in (find_task, find_summary):
            with pytest.raises(TaskNotFound, match=r'No task has the id "x{80}"'):
                find(connection, "x" * 200)
