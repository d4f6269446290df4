"""Pages of events of a task."""

import pytest

from api.domain.task import TaskType
from api.errors import TaskNotFound
from api.training.store import TaskStore
from api.training.task_events import event_page
from api.util.pagination import PageRequest
from tests.unit.trainings import TrainingMachine


def test_events_are_returned_in_pages(machine: TrainingMachine):
    machine.run_errand()
    first = event_page(machine.tasks, "e", PageRequest(limit=2))
    rest = event_page(machine.tasks, "e", PageRequest(limit=50, cursor=first.pagination.next_cursor))
    assert [event.current for event in (*first.rows, *rest.rows)] == ["queued", "starting", "running"]
    assert (first.pagination.total, first.pagination.has_more, rest.pagination.has_more) == (3, True, False)


def test_store_of_one_kind_returns_events_of_its_tasks(machine: TrainingMachine):
    machine.put_errand()
    with pytest.raises(TaskNotFound):
        event_page(TaskStore(machine.database, TaskType.TRAINING), "e", PageRequest())
