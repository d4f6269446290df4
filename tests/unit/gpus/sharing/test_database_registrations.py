"""Registrations in the database: their interplay with trainings, and an unavailable database."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, delete

from api.db.database import Database
from api.db.leases import ResourceHeld
from api.db.tables import registrations as table
from api.domain.machines.lease import LeaseKind
from api.domain.tasks.progress import ProgressReport
from api.domain.tasks.task import RegisteredTask, TaskType
from api.domain.tasks.training import TaskStatus
from api.errors import DatabaseUnavailable, GPUBusy, TaskExists, TaskIsTraining, TaskNotFound
from api.gpus.sharing.registration_store import PAUSE_SECONDS, DatabaseRegistrations
from api.util.clock import FakeClock
from tests.unit.db.builders import NODE, NOW, Stores, beside, new_attempt, new_task


@pytest.fixture
def registrations(database: Database, clock: FakeClock) -> DatabaseRegistrations:
    return DatabaseRegistrations(database, NODE, clock)


def program(task_id: str, *uuids: str) -> RegisteredTask:
    return RegisteredTask(task_id, TaskType.EXTERNAL, uuids, NOW)


def test_gpu_of_a_training_cannot_be_registered(stores: Stores, registrations: DatabaseRegistrations):
    stores.claimed("t1", 0)
    with pytest.raises(GPUBusy) as busy:
        registrations.claim(program("a", "GPU-0", "GPU-1"))
    assert busy.value.data == {"held_by": {"GPU-0": "t1"}}
    assert registrations.list() == ()


def test_registered_gpu_cannot_be_claimed_by_a_training(stores: Stores, registrations: DatabaseRegistrations):
    registrations.claim(program("a", "GPU-0"))
    stores.tasks.create(new_task("t1"), NOW, "ann")
    with pytest.raises(ResourceHeld) as held:
        stores.attempts.claim(new_attempt("t1", 0), NOW)
    assert held.value.held == {"GPU-0": "a"}


def test_id_of_a_training_cannot_be_registered(stores: Stores, registrations: DatabaseRegistrations):
    stores.tasks.create(new_task("t1"), NOW, "ann")
    with pytest.raises(TaskExists):
        registrations.claim(program("t1", "GPU-0"))
    assert stores.held() == {}


def test_training_is_not_changed_through_the_registry(stores: Stores, registrations: DatabaseRegistrations):
    stores.claimed("t1", 0)
    with pytest.raises(TaskIsTraining):
        registrations.get("t1")
    with pytest.raises(TaskIsTraining):
        registrations.update_progress("t1", 5.0, None, NOW)
    with pytest.raises(TaskIsTraining):
        registrations.release("t1")
    assert stores.held(LeaseKind.GPU) == {"GPU-0": "t1"}


def test_holders_are_programs_and_trainings(stores: Stores, registrations: DatabaseRegistrations):
    registrations.claim(program("a", "GPU-0"))
    stores.claimed("t1", 1, 2)
    holders = registrations.holders()
    assert {uuid: (task.task_id, task.task_type) for uuid, task in holders.items()} == {
        "GPU-0": ("a", TaskType.EXTERNAL),
        "GPU-1": ("t1", TaskType.TRAINING),
        "GPU-2": ("t1", TaskType.TRAINING),
    }
    assert holders["GPU-1"].gpu_uuids == ("GPU-1", "GPU-2")


def test_training_that_holds_a_gpu_shows_its_progress(stores: Stores, registrations: DatabaseRegistrations):
    stores.claimed("t1", 0)
    assert registrations.holders()["GPU-0"].progress is None
    stores.attempts.save_progress(
        {"t1": ProgressReport.from_json({"progress": {"overall_progress": 12.5, "eta_seconds": 60.0}})}, NOW
    )
    holder = registrations.holders()["GPU-0"]
    assert (holder.progress, holder.estimated_remaining_time) == (12.5, 60.0)


def test_training_with_a_draining_gpu_has_ended(stores: Stores, registrations: DatabaseRegistrations):
    attempt = stores.claimed("t1", 0)
    assert not registrations.holders()["GPU-0"].has_ended
    stores.finish(attempt, TaskStatus.FAILED)
    assert registrations.holders()["GPU-0"].has_ended


def test_programs_of_other_machines_are_not_listed(database: Database, registrations: DatabaseRegistrations):
    DatabaseRegistrations(database, "node-b", FakeClock()).claim(program("b", "GPU-9"))
    registrations.claim(program("a", "GPU-0"))
    assert [task.task_id for task in registrations.list()] == ["a"]
    assert sorted(registrations.holders()) == ["GPU-0", "GPU-9"]


def test_registrations_survive_their_server(database: Database, registrations: DatabaseRegistrations):
    stored = registrations.claim(program("a", "GPU-0"))
    assert DatabaseRegistrations(database, NODE, FakeClock()).list() == (stored,)


def test_concurrent_release_finds_nothing(database: Database, registrations: DatabaseRegistrations):
    if database.is_sqlite:
        pytest.skip("writers of SQLite take turns")
    registrations.claim(program("a", "GPU-0"))
    late = beside(database, lambda connection: connection.execute(delete(table)), lambda: registrations.release("a"))
    assert isinstance(late.exception(), TaskNotFound)


# -- an unavailable database -------------------------------------------------------------------------------------------


class Away:
    """A database that can be unavailable, and counts its queries."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_away = False
        self.requests = 0

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self.requests += 1
        if self.is_away:
            raise DatabaseUnavailable
        with self._database.read() as connection:
            yield connection


def test_last_holders_are_used_while_the_database_is_unavailable(database: Database, clock: FakeClock):
    DatabaseRegistrations(database, NODE, clock).claim(program("a", "GPU-0"))
    away = Away(database)
    registrations = DatabaseRegistrations(away, NODE, clock)  # type: ignore[arg-type]
    before = registrations.holders()
    away.is_away = True
    assert registrations.holders() == before
    assert list(before) == ["GPU-0"]


def test_unknown_holders_are_not_treated_as_none(database: Database, clock: FakeClock):
    away = Away(database)
    away.is_away = True
    registrations = DatabaseRegistrations(away, NODE, clock)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            registrations.holders()
    assert away.requests == 1


def test_unavailable_database_is_not_queried_for_a_while(database: Database, clock: FakeClock):
    away = Away(database)
    registrations = DatabaseRegistrations(away, NODE, clock)  # type: ignore[arg-type]
    assert registrations.holders() == {}
    away.is_away = True
    registrations.holders()
    away.is_away = False
    DatabaseRegistrations(database, NODE, clock).claim(program("a", "GPU-0"))
    clock.advance(PAUSE_SECONDS - 0.1)
    assert (registrations.holders(), away.requests) == ({}, 2)
    clock.advance(0.1)
    assert (list(registrations.holders()), away.requests) == (["GPU-0"], 3)
