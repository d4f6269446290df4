import shutil
from pathlib import Path

import pytest

from api.domain.dataset import Dataset
from api.domain.dataset_cache import CacheState
from api.domain.sight import Sight, seeing
from api.domain.training import TaskStatus
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


def test_a_cache_is_told_from_its_beginning_to_its_end(world: CacheWorld):
    task = world.create("c1")
    assert states(world) == [CacheState.BUILDING]
    world.fill(task)
    world.finish("c1", result=world.take_up(task).result)
    (shown,) = world.list.of_dataset("cats")
    assert (shown.state, shown.version, shown.files, shown.used_by) == (CacheState.COMPLETE, 1, 3, ())
    assert shown.built_at == world.shelf.clock.now()
    shutil.rmtree(world.root / "tasks" / "c1" / "datasets")
    assert states(world) == [CacheState.MISSING]


def test_one_that_failed_says_so_and_does_not_count(world: CacheWorld):
    world.create("c1")
    world.finish("c1", TaskStatus.FAILED)
    assert states(world) == [CacheState.FAILED]


def test_a_cache_in_use_is_not_deleted_and_says_by_whom(world: CacheWorld):
    world.make()
    world.create("t1", wanted=False)
    assert world.list.of_dataset("cats")[0].used_by == ("t1",)
    with pytest.raises(CacheInUse) as refused:
        world.stores.tasks.delete("c1", world.shelf.clock.now())
    assert refused.value.data == {"tasks": ["t1"]}
    world.finish("t1")
    world.stores.tasks.delete("c1", world.shelf.clock.now())
    assert states(world) == []


def test_whoever_sees_only_their_own_sees_no_other_cache(world: CacheWorld):
    world.owner = "bob"
    world.make()
    assert states(world) == [CacheState.COMPLETE]
    with seeing(Sight("ann", sees_all=False)):
        assert states(world) == []


def test_a_cache_goes_with_its_dataset_once_nobody_uses_it(world: CacheWorld):
    world.make()
    world.create("t1", wanted=False)
    assert world.list.collect() == 0
    world.finish("t1")
    world.shelf.store.delete("cats", world.shelf.clock.now())
    assert world.list.collect() == 1
    assert not (world.root / "tasks" / "c1").exists()
    with pytest.raises(TaskNotFound):
        world.stores.tasks.get("c1")


def test_what_lies_on_another_machine_is_its_servers_to_remove(world: CacheWorld):
    world.make()
    world.shelf.store.delete("cats", world.shelf.clock.now())
    shutil.rmtree(world.root / "tasks" / "c1")
    assert world.list.collect() == 0
