import shutil
from pathlib import Path

import pytest

from api.domain.access.read_scope import ReadScope, seeing
from api.domain.datasets.dataset import Dataset
from api.domain.datasets.dataset_cache import CacheState
from api.domain.tasks.training import TaskStatus
from api.errors import CacheInUse, TaskNotFound
from tests.unit.datasets.cache_fakes import CacheWorld
from tests.unit.datasets.conftest import Shelf


@pytest.fixture
def world(shelf: Shelf, tmp_path: Path) -> CacheWorld:
    shelf.store.create(Dataset(0, "cats", "ann", None, (), None, shelf.clock.now(), shelf.clock.now(), None))
    shelf.version(shelf.item("a.png"))
    return CacheWorld(shelf, tmp_path / "storage")


def states(world: CacheWorld) -> list[CacheState]:
    return [cache.state for cache in world.list.of_dataset("cats")]


def test_cache_is_listed_with_its_state_from_start_to_end(world: CacheWorld):
    task = world.create("c1")
    assert states(world) == [CacheState.BUILDING]
    world.fill(task)
    world.finish("c1", result=world.record(task).result)
    (shown,) = world.list.of_dataset("cats")
    assert (shown.state, shown.version, shown.files, shown.used_by) == (CacheState.COMPLETE, 1, 3, ())
    assert shown.built_at == world.shelf.clock.now()
    shutil.rmtree(world.root / "tasks" / "c1" / "datasets")
    assert states(world) == [CacheState.MISSING]


def test_failed_cache_is_listed_as_failed(world: CacheWorld):
    world.create("c1")
    world.finish("c1", TaskStatus.FAILED)
    assert states(world) == [CacheState.FAILED]


def test_cache_in_use_cannot_be_deleted_and_lists_its_users(world: CacheWorld):
    world.make()
    world.create("t1", wanted=False)
    assert world.list.of_dataset("cats")[0].used_by == ("t1",)
    with pytest.raises(CacheInUse) as rejected:
        world.stores.tasks.delete("c1", world.shelf.clock.now())
    assert rejected.value.data == {"tasks": ["t1"]}
    world.finish("t1")
    world.stores.tasks.delete("c1", world.shelf.clock.now())
    assert states(world) == []


def test_user_with_own_scope_sees_no_other_cache(world: CacheWorld):
    world.owner = "bob"
    world.make()
    assert states(world) == [CacheState.COMPLETE]
    with seeing(ReadScope("ann", sees_all=False)):
        assert states(world) == []


def test_cache_is_removed_with_its_dataset_when_it_is_unused(world: CacheWorld):
    world.make()
    world.create("t1", wanted=False)
    assert world.list.collect() == 0
    world.finish("t1")
    world.shelf.store.delete("cats", world.shelf.clock.now())
    assert world.list.collect() == 1
    assert not (world.root / "tasks" / "c1").exists()
    with pytest.raises(TaskNotFound):
        world.stores.tasks.get("c1")


def test_cache_on_another_machine_is_left_to_its_server(world: CacheWorld):
    world.make()
    world.shelf.store.delete("cats", world.shelf.clock.now())
    shutil.rmtree(world.root / "tasks" / "c1")
    assert world.list.collect() == 0
