"""One task by its id, in a transaction."""

import pytest

from api.domain.tasks.training import TaskStatus
from api.errors import TaskNotFound
from api.training.records.task_queries import find_summary, find_task
from tests.unit.db.builders import NOW, Stores, new_task


def test_task_is_found_with_all_its_data(stores: Stores):
    made = stores.tasks.create(new_task("t1", name="cats"), NOW, "ann")
    stores.tasks.create(new_task("t2"), NOW, "ann")
    with stores.database.read() as connection:
        assert find_task(connection, "t1") == made


@pytest.mark.parametrize("lock", [False, True])
def test_summary_is_found_for_reading_and_for_changing(stores: Stores, lock: bool):
    stores.tasks.create(new_task("t1", name="cats"), NOW, "ann")
    with stores.database.write() as connection:
        found = find_summary(connection, "t1", lock=lock)
    assert (found.task_id, found.name, found.status) == ("t1", "cats", TaskStatus.QUEUED)


def test_unknown_id_is_reported_shortened(stores: Stores):
    with stores.database.read() as connection:
        for find in (find_task, find_summary):
            with pytest.raises(TaskNotFound, match=r'No task has the id "x{80}"'):
                find(connection, "x" * 200)
