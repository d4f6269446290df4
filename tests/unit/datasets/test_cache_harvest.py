from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.cause import CauseCode
from api.domain.dataset_cache import BuiltCache
from tests.unit.datasets.cache_fakes import CacheWorld
from tests.unit.datasets.conftest import Shelf


@pytest.fixture
def world(shelf: Shelf, tmp_path: Path) -> CacheWorld:
    shelf.make()
    shelf.version(shelf.item("a.png"))
    return CacheWorld(shelf, tmp_path / "storage")


def test_a_whole_cache_is_taken_up_and_asked_again_gives_the_same(world: CacheWorld):
    task = world.create("c1")
    world.fill(task)
    first, second = world.take_up(task), world.take_up(task)
    assert first == second
    built = BuiltCache.from_json(first.result)
    assert built is not None
    assert task.plan.cache is not None
    assert (built.key, built.files, built.settings) == (task.plan.cache.key, 3, {"size": 16})


def why(world: CacheWorld, task) -> str:
    cause = world.take_up(task).cause
    assert cause is not None
    assert cause.code is CauseCode.CACHE_INCOMPLETE
    return cause.detail


@pytest.mark.parametrize(
    "name", ["metadata/grouping_keys.json", "cache_1/latents/metadata.db", "cache_1/latents/shard_0.bin"]
)
def test_exit_code_0_alone_makes_no_cache(world: CacheWorld, name: str):
    task = world.create("c1")
    world.fill(task)
    (world.media("c1") / "cache" / "toy" / name).unlink()
    assert "cannot be used: " in why(world, task)


def test_a_link_that_a_trainer_left_is_refused(world: CacheWorld):
    task = world.create("c1")
    world.fill(task)
    shard = world.media("c1") / "cache" / "toy" / "cache_1" / "latents" / "shard_1.bin"
    shard.symlink_to("/dev/zero")
    assert "shard_1.bin is a link" in why(world, task)


def test_a_model_that_changed_while_it_was_cached_is_told(world: CacheWorld):
    task = world.create("c1")
    world.fill(task)
    assert task.plan.cache is not None
    other = replace(task, plan=replace(task.plan, cache=replace(task.plan.cache, key="before")))
    assert "has changed since" in why(world, other)
