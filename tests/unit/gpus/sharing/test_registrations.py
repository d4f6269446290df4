import os
from collections.abc import Sequence

import pytest

from api.domain.tasks.task import Keep, ProcessIdentity, TaskType
from api.errors import GPUBusy, ProcessNotRunning, TaskNotFound
from api.gpus.sharing.registration_store import MemoryRegistrations
from api.gpus.sharing.registrations import TaskRegistry
from api.util.clock import FakeClock


class Registry:
    """A registry with its notifications, and processes that a test ends."""

    def __init__(self, clock: FakeClock) -> None:
        self.notifications: list[tuple[str, ...]] = []
        self.dead: set[int] = set()
        self.registry = TaskRegistry(
            MemoryRegistrations(), clock, self.notify, lambda process: process.pid not in self.dead
        )

    def notify(self, released: Sequence[str]) -> None:
        self.notifications.append(tuple(released))


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(clock)


def test_registered_task_holds_its_gpus(registry: Registry, clock: FakeClock):
    task = registry.registry.register(["GPU-0"], TaskType.TRAINING, description="kohya")
    assert registry.registry.store.holders() == {"GPU-0": task}
    assert (task.started_at, task.description, task.process) == (clock.now(), "kohya", None)
    assert task.task_id.startswith("train_20260101_")


def test_given_id_is_used(registry: Registry):
    assert registry.registry.register(["GPU-0"], TaskType.EXTERNAL, "mine").task_id == "mine"


def test_process_is_stored_with_its_start(registry: Registry):
    task = registry.registry.register(["GPU-0"], TaskType.TRAINING, pid=os.getpid())
    assert task.process is not None
    assert (task.process.pid, task.process.start > 0) == (os.getpid(), True)


def test_missing_process_is_rejected_before_anything_is_claimed(registry: Registry):
    with pytest.raises(ProcessNotRunning):
        registry.registry.register(["GPU-0"], TaskType.TRAINING, pid=2**31 - 1)
    assert registry.registry.store.holders() == {}


def test_changes_are_notified_and_rejections_are_not(registry: Registry):
    registry.registry.register(["GPU-0"], TaskType.TRAINING, "mine")
    with pytest.raises(GPUBusy):
        registry.registry.register(["GPU-0"], TaskType.TRAINING)
    registry.registry.update_progress("mine", 5.0, Keep.KEEP)
    registry.registry.release("mine")
    with pytest.raises(TaskNotFound):
        registry.registry.release("mine")
    assert registry.notifications == [(), (), ("GPU-0",)]


def test_task_of_an_ended_process_is_released(registry: Registry):
    registry.registry.register(["GPU-0"], TaskType.TRAINING, "mine", pid=os.getpid())
    registry.registry.register(["GPU-1"], TaskType.TRAINING, "other")
    assert registry.registry.release_dead() == []
    registry.dead.add(os.getpid())
    assert [task.task_id for task in registry.registry.release_dead()] == ["mine"]
    assert list(registry.registry.store.holders()) == ["GPU-1"]
    assert registry.notifications[-1] == ("GPU-0",)


def test_later_process_with_the_same_pid_does_not_keep_the_task(clock: FakeClock):
    registry = TaskRegistry(MemoryRegistrations(), clock)
    task = registry.register(["GPU-0"], TaskType.TRAINING, "mine", pid=os.getpid())
    assert registry.release_dead() == []
    earlier = ProcessIdentity(os.getpid(), task.process.start - 1 if task.process else 0.0)
    registry.store._tasks["mine"] = type(task)(**{f: getattr(task, f) for f in task.__slots__} | {"process": earlier})
    assert [dead.task_id for dead in registry.release_dead()] == ["mine"]
