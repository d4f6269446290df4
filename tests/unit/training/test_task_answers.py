"""Progress of tasks of every kind."""

import pytest

from api.db.database import Database
from api.domain.tasks.task import ProcessIdentity, TaskType
from api.domain.tasks.training import NewTask
from api.errors import DatabaseUnavailable, TaskNotFound
from api.training.records.task_store import TaskStore
from api.training.task_answers import ProgressAnswers, event_page
from api.util.http.pagination import PageRequest
from tests.unit.trainings import TOY, TrainingMachine, steps


def test_progress_is_available_for_every_kind(machine: TrainingMachine):
    machine.run_errand()
    machine.prints(steps(1, 2), "e")
    machine.train()
    assert machine.parts.progress.get_progress("e").progress.current_step == 2


def test_training_store_does_not_find_other_kinds(machine: TrainingMachine):
    machine.put_errand()
    with pytest.raises(TaskNotFound):
        machine.parts.services.details.get_progress("e")


def test_task_without_gpus_has_a_waiting_reason(machine: TrainingMachine):
    for number in range(60):
        machine.put_errand(f"e{number}")
    machine.train()
    waits = machine.parts.progress.get_progress("e59")
    assert isinstance(machine.parts.progress, ProgressAnswers)
    assert waits.waiting_reason_code is not None
    assert waits.waiting_reason_code.code == "preprocess_parallel"
    assert isinstance(machine.tasks, TaskStore)


def test_events_are_returned_in_pages(machine: TrainingMachine):
    machine.run_errand()
    first = event_page(machine.tasks, "e", PageRequest(limit=2))
    rest = event_page(machine.tasks, "e", PageRequest(limit=50, cursor=first.pagination.next_cursor))
    assert [event.current for event in (*first.rows, *rest.rows)] == ["queued", "starting", "running"]
    assert (first.pagination.total, first.pagination.has_more, rest.pagination.has_more) == (3, True, False)


def test_newest_events_come_first_on_request(machine: TrainingMachine):
    machine.run_errand()
    first = event_page(machine.tasks, "e", PageRequest(limit=2), is_newest_first=True)
    cursor = first.pagination.next_cursor
    rest = event_page(machine.tasks, "e", PageRequest(limit=50, cursor=cursor), is_newest_first=True)
    assert [event.current for event in (*first.rows, *rest.rows)] == ["running", "starting", "queued"]
    assert (first.pagination.has_more, rest.pagination.has_more) == (True, False)


def test_store_of_one_kind_returns_events_of_its_tasks(machine: TrainingMachine):
    machine.put_errand()
    with pytest.raises(TaskNotFound):
        event_page(TaskStore(machine.database, TaskType.TRAINING), "e", PageRequest())


def put(machine: TrainingMachine, owner: str | None) -> None:
    machine.tasks.create(NewTask("a", "toy", TOY, machine.plan(), owner=owner), machine.clock.now(), "ann")


@pytest.mark.parametrize("owner", ["ann", None])
def test_owner_of_a_queued_task_is_read_from_the_database(machine: TrainingMachine, owner: str | None):
    put(machine, owner)
    assert machine.parts.owners.of("a") == owner


def test_owner_of_a_running_task_is_known_without_a_database(machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch):
    put(machine, "ann")
    machine.train()
    machine.executor.runs(machine.uid(), ProcessIdentity(4711, 1.0))
    machine.train()

    def away(self: Database) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(Database, "read", away)
    assert machine.parts.owners.of("a") == "ann"


def test_unknown_task_has_no_owner(machine: TrainingMachine):
    with pytest.raises(TaskNotFound):
        machine.parts.owners.of("b")
