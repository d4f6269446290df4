import os
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.datasets.dataset_cache import CacheState
from api.domain.tasks.training import TaskStatus
from api.errors import CacheBuilding, CacheExists
from tests.unit.datasets.cache_fakes import WANTED, CacheWorld
from tests.unit.datasets.conftest import Shelf


@pytest.fixture
def world(shelf: Shelf, tmp_path: Path) -> CacheWorld:
    shelf.make()
    shelf.version(shelf.item("a.png"), shelf.item("b.png"))
    return CacheWorld(shelf, tmp_path / "storage")


def state(world: CacheWorld, task_id: str = "t1", **more) -> CacheState:
    planned = world.choose(task_id, **more).cache
    assert planned is not None
    return planned.state


def test_training_uses_a_complete_cache_read_only(world: CacheWorld):
    made = world.make()
    choice = world.choose("t1")
    assert choice.cache is not None
    assert (choice.cache.state, choice.cache.task_id) == (CacheState.COMPLETE, "c1")
    assert choice.given(WANTED).trust_cache
    assert choice.lease == ()
    task = world.create("t1", wanted=False)
    request = world.references.lay_out(task, is_new=True)
    assert request.trust_cache
    assert request.dataset["directories"][0]["path"] == str(world.media(made.task_id))
    assert [(task_id, said.said.code) for task_id, said in world.events] == [("t1", "cache_used")]
    assert world.references.lay_out(task, is_new=False) == request


@pytest.mark.parametrize(
    "change",
    [
        lambda media: (media / "a.png").unlink(),
        lambda media: (media / "captions.json").write_text("{}"),
        lambda media: (media / "c.png").write_text("one more"),
        lambda media: (media / "cache" / "toy" / "cache_1" / "latents" / "shard_0.bin").write_text("other"),
        lambda media: os.symlink("/dev/zero", media / "cache" / "toy" / "link"),
        lambda media: os.symlink("/", media / "cache" / "toy" / "directory"),
        lambda media: os.mkfifo(media / "cache" / "toy" / "pipe"),
        lambda media: media.parent.rename(media.parent.with_name("elsewhere")),
    ],
)
def test_changed_cache_is_not_used(world: CacheWorld, change):
    world.make()
    waiting = world.create("t1", wanted=False)
    change(world.media("c1"))
    assert state(world, "t2") is CacheState.NONE
    request = world.references.lay_out(waiting, is_new=True)
    assert not request.trust_cache
    assert Path(request.dataset["directories"][0]["path"]) == world.media("t1")
    assert [said.said.code for _, said in world.events] == ["cache_not_used"]


def test_other_version_setting_or_owner_needs_another_cache(world: CacheWorld):
    world.make()
    assert state(world, owner="bob") is CacheState.NONE
    assert state(world, request=replace(WANTED, config={"epochs": 9})) is CacheState.COMPLETE
    assert state(world, request=replace(WANTED, config={"epochs": 1, "toy": {"size": 8}})) is CacheState.NONE
    world.shelf.version(world.shelf.item("a.png"), world.shelf.item("b.png", caption="a dog"))
    assert state(world) is CacheState.NONE
    pinned = replace(WANTED, dataset={"directories": [{"dataset": "cats@1"}]})
    assert state(world, request=pinned) is CacheState.COMPLETE


def test_existing_cache_is_not_built_again(world: CacheWorld):
    world.create("c1")
    with pytest.raises(CacheBuilding):
        world.create("c2")
    choice = world.choose("t1")
    assert choice.cache is not None
    assert (choice.cache.state, choice.lease) == (
        CacheState.BUILDING,
        (str(world.root / "tasks" / "c1" / "datasets"),),
    )
    world.finish("c1", TaskStatus.FAILED)
    world.make("c3")
    with pytest.raises(CacheExists):
        world.create("c4")
    world.create("c5", request=replace(WANTED, regenerate_cache=True))


def test_training_that_started_before_the_cache_was_complete_caches_by_itself(world: CacheWorld):
    world.create("c1")
    task = world.create("t1", wanted=False)
    assert not world.references.lay_out(task, is_new=True).trust_cache
    assert world.media("t1").is_dir()


def test_resumed_task_keeps_its_directory(world: CacheWorld):
    own = world.create("t1", wanted=False)
    world.references.lay_out(own, is_new=True)
    world.make()
    assert state(world, "t1", known_by=["t1"]) is CacheState.NONE
    assert state(world, "t2", known_by=["t2"]) is CacheState.COMPLETE


def test_dependencies_must_not_change_between_plan_and_start(world: CacheWorld):
    task = world.create("c1")
    other = replace(task, plan=replace(task.plan, cache=replace(task.plan.cache, key="another")))
    with pytest.raises(ValueError, match="changed since"):
        world.references.lay_out(other, is_new=True)
    world.make("c2", replace(WANTED, config={"epochs": 1, "toy": {"size": 8}}))
    waiting = world.create("t1", wanted=False, request=replace(WANTED, config={"epochs": 1, "toy": {"size": 8}}))
    changed = replace(waiting, plan=replace(waiting.plan, cache=replace(waiting.plan.cache, key="another")))
    assert not world.references.lay_out(changed, is_new=True).trust_cache
    assert world.events[-1][1].said.params["why"]["code"] == "cache_outdated"


@pytest.mark.parametrize("directory", [{"path": "/somewhere"}, {"dataset": "cats", "mask_path": "/masks"}])
def test_request_with_file_paths_is_not_cached_in_advance(world: CacheWorld, directory: dict[str, str]):
    request = replace(WANTED, dataset={"directories": [{"dataset": "cats"}, directory]})
    (mistake,) = world.choose("c1", request, wanted=True).mistakes
    assert "by path" in mistake.message
    choice = world.choose("t1", request)
    assert (choice.mistakes, choice.cache and choice.cache.key) == ((), None)


def test_request_without_a_dataset_is_not_cached_in_advance(world: CacheWorld):
    request = replace(WANTED, dataset={})
    assert world.choose("t1", request).cache is None
    (mistake,) = world.choose("c1", request, wanted=True).mistakes
    assert "names none" in mistake.message


def test_isolated_tasks_share_no_cache(shelf: Shelf, world: CacheWorld):
    apart = CacheWorld(shelf, world.root, are_apart=True)
    (mistake,) = apart.choose("c1", wanted=True).mistakes
    assert "TRAINER_USER" in mistake.message
