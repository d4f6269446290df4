"""Removal of the files of ended rehearsals."""

from sqlalchemy import update

from api.db.tables import tasks
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskStatus
from api.training.retention.rehearsal_files import RehearsalFiles
from tests.unit.trainings import TrainingMachine


def test_removed_files_are_reported_once_so_that_their_owner_is_not_charged(machine: TrainingMachine):
    machine.put()
    with machine.database.write() as connection:
        connection.execute(update(tasks).values(kind=TaskType.REHEARSAL, status=TaskStatus.FAILED))
    output = machine.files("a").output
    output.mkdir(parents=True, exist_ok=True)
    (output / "model.safetensors").write_bytes(b"weights")
    removed: list[str] = []
    rehearsals = RehearsalFiles(machine.database, machine.root, removed.append)
    rehearsals.run_once()
    rehearsals.run_once()
    assert (output.exists(), removed) == (False, ["a"])
