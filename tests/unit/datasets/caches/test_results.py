from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.datasets.dataset_cache import BuiltCache
from api.domain.tasks.cause import CauseCode
from tests.unit.datasets.cache_fakes import CacheWorld
from tests.unit.datasets.conftest import Shelf


@pytest.fixture
def world(shelf: Shelf, tmp_path: Path) -> CacheWorld:
    shelf.make()
    shelf.version(shelf.item("a.png"))
    return CacheWorld(shelf, tmp_path / "storage")


def test_complete_cache_is_recorded_and_a_repeated_call_gives_the_same_result(world: CacheWorld):
    task = world.create("c1")
    world.fill(task)
    first, second = world.record(task), world.record(task)
    assert first == second
    built = BuiltCache.from_json(first.result)
    assert built is not None
    assert task.plan.cache is not None
    assert (built.key, built.files, built.settings) == (task.plan.cache.key, 3, {"size": 16})


def why(world: CacheWorld, task) -> str:
    cause = world.record(task).cause
    assert cause is not None
    assert cause.code is CauseCode.CACHE_INCOMPLETE
    return cause.detail


@pytest.mark.parametrize(
    "name", ["metadata/grouping_keys.json", "cache_1/latents/metadata.db", "cache_1/latents/shard_0.bin"]
)
def test_exit_code_0_without_complete_files_makes_no_cache(world: CacheWorld, name: str):
    task = world.create("c1")
    world.fill(task)
    (world.media("c1") / "cache" / "toy" / name).unlink()
    assert "cannot be used: " in why(world, task)


def test_link_left_by_a_trainer_is_rejected(world: CacheWorld):
    task = world.create("c1")
    world.fill(task)
    shard = world.media("c1") / "cache" / "toy" / "cache_1" / "latents" / "shard_1.bin"
    shard.symlink_to("/dev/zero")
    assert "shard_1.bin is a link" in why(world, task)


def test_model_that_changed_during_caching_is_reported(world: CacheWorld):
    task = world.create("c1")
    world.fill(task)
    assert task.plan.cache is not None
    other = replace(task, plan=replace(task.plan, cache=replace(task.plan.cache, key="before")))
    assert "have changed since" in why(world, other)
