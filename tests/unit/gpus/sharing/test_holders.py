"""The holders of GPUs, with and without the database."""

import pytest

from api.domain.tasks.task import RegisteredTask, TaskType
from api.errors import DatabaseUnavailable
from api.gpus.sharing.registration_store import MemoryRegistrations
from api.gpus.sharing.registrations import GPUHolders, TaskRegistry
from api.util.clock import FakeClock
from tests.unit.builders import reading, snapshot, task, uuid_of


class Store(MemoryRegistrations):
    """Registrations whose database fails on request."""

    is_away = False

    def holders(self) -> dict[str, RegisteredTask]:
        if self.is_away:
            raise DatabaseUnavailable
        return super().holders()


class Registry(TaskRegistry):
    """A registry in which a test ends processes."""

    def __init__(self, clock: FakeClock) -> None:
        self.database = Store()
        super().__init__(self.database, clock)
        self.ended: list[RegisteredTask] = []

    def release_dead(self) -> list[RegisteredTask]:
        if self.database.is_away:
            raise DatabaseUnavailable
        ended, self.ended = self.ended, []
        return ended


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(clock)


@pytest.fixture
def released() -> list[str]:
    return []


@pytest.fixture
def holders(registry: Registry, released: list[str]) -> GPUHolders:
    return GPUHolders(registry, lambda task, why: released.append(f"{task.task_id}: {why.text}"))


def test_last_known_holders_are_used_while_the_database_is_down(
    registry: Registry, holders: GPUHolders, caplog: pytest.LogCaptureFixture
):
    registry.database.is_away = True
    assert holders.read() is None
    registry.database.is_away = False
    registry.register(task_type=TaskType.TRAINING, gpu_uuids=[uuid_of(0)], task_id="t")
    known = holders.read()
    assert known is not None
    assert known.keys() == {uuid_of(0)}
    registry.database.is_away = True
    assert [holders.read(), holders.read()] == [known, known]
    # Once per failure.
    assert len(caplog.records) == 2


def test_release_after_a_processes_end_is_reported(registry: Registry, holders: GPUHolders, released: list[str]):
    registry.ended = [task("t", TaskType.TRAINING, pid=7)]
    holders.release_ended(snapshot(reading(0)), has_changed_source=False)
    assert released == ["t: its process 7 has ended"]


def test_tasks_on_simulated_gpus_are_released_when_real_ones_appear(
    registry: Registry, holders: GPUHolders, released: list[str]
):
    registry.register(task_type=TaskType.TRAINING, gpu_uuids=["GPU-simulated"], task_id="old")
    registry.register(task_type=TaskType.TRAINING, gpu_uuids=[uuid_of(0)], task_id="new")
    holders.release_ended(snapshot(reading(0)), has_changed_source=False)
    assert released == []
    holders.release_ended(snapshot(reading(0)), has_changed_source=True)
    assert released == ["old: its simulated GPUs gave way to real ones"]
    assert [each.task_id for each in registry.store.list()] == ["new"]


def test_failed_release_is_retried_at_the_next_sweep(
    registry: Registry, holders: GPUHolders, released: list[str], caplog: pytest.LogCaptureFixture
):
    registry.ended, registry.database.is_away = [task("t", TaskType.TRAINING, pid=7)], True
    for _ in range(2):
        holders.release_ended(snapshot(reading(0)), has_changed_source=False)
    assert (released, len(caplog.records)) == ([], 1)
    registry.database.is_away = False
    holders.release_ended(snapshot(reading(0)), has_changed_source=False)
    assert len(released) == 1
