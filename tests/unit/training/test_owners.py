import pytest

from api.db.database import Database
from api.domain.task import ProcessIdentity
from api.domain.training import NewTask
from api.errors import DatabaseUnavailable, TaskNotFound
from tests.unit.trainings import TOY, TrainingMachine


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
