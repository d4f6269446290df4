"""The rule by which saved models and checkpoints of a training stay."""

from typing import Any

import pytest

from tests.api.client import failure_of
from tests.api.conftest import RUN_DIR, TRAINING, World
from tests.unit.files.weights.stand_ins import write_stand_in

LORA = {"diffusion_model.blocks.0.q.lora_A.weight": [16, 64], "diffusion_model.blocks.0.q.lora_B.weight": [64, 16]}


@pytest.fixture
def task(world: World) -> str:
    """A training with three models and two checkpoints."""
    task_id = world.finish()
    for number in (1, 2, 3):
        write_stand_in(world.output(task_id) / RUN_DIR / f"epoch{number}" / "adapter_model.safetensors", LORA, "BF16")
    world.make_checkpoints(task_id, 10, 20)
    return task_id


def path(task: str, more: str = "") -> str:
    return f"{TRAINING}/{task}/retention{more}"


def saved(world: World, task: str) -> set[str]:
    return {each.name for each in (world.output(task) / RUN_DIR).iterdir() if each.is_dir()}


def test_rule_is_previewed_and_then_deletes(world: World, task: str):
    assert world.client.data(path(task)) == {
        "task_id": task,
        "keep_last": None,
        "keep_every": None,
        "keep_rated": None,
        "keep_last_checkpoints": None,
        "source": "none",
    }
    everything = saved(world, task)
    world.client.put(f"{TRAINING}/{task}/chosen", json={"checkpoint": "epoch1"})
    seen = world.client.data(path(task, "/preview?keep_last=1"))
    assert {each["name"] for each in seen["delete"]} == {"epoch2", "global_step1", "global_step10"}
    assert {each["name"]: each["reason"] for each in seen["keep"]} == {
        "epoch3": "it is the newest",
        "epoch1": "it is the chosen model",
        "global_step20": "it is the last complete checkpoint",
    }
    assert saved(world, task) == everything
    done = world.client.put(path(task), json={"keep_last": 1}).json()["data"]
    assert (done["deleted"], done["freed_mb"]) == (seen["delete"], seen["freed_mb"])
    assert saved(world, task) == {"epoch1", "epoch3", "global_step20"}
    assert done["retention"] == world.client.data(path(task))
    assert (done["retention"]["keep_last"], done["retention"]["source"]) == (1, "task")


def test_rule_counts_again_when_a_training_has_ended(world: World):
    task = world.run()
    world.client.put(path(task), json={"keep_last": 1})
    world.make_checkpoints(task, 10, 20)
    world.end(task)
    assert saved(world, task) == {"global_step20"}


def test_default_comes_from_the_settings(world: World, task: str):
    answer = world.client.patch("/api/v1/settings", json={"values": {"RETENTION_KEEP_LAST": 2}})
    assert answer.status_code == 200
    shown = world.client.data(path(task))
    assert (shown["keep_last"], shown["keep_last_checkpoints"], shown["source"]) == (2, 2, "default")
    assert [each["name"] for each in world.client.data(path(task, "/preview"))["delete"]] == ["epoch1", "global_step1"]
    # It counts when a training saves, and not before.
    assert "epoch1" in saved(world, task)
    world.client.put(path(task), json={})
    assert world.client.data(path(task, "/preview"))["delete"] == []


@pytest.mark.parametrize(
    "rule", [{"keep_last": 0}, {"keep_rated": 6}, {"keep_every": -1}, {"keep": 3}, {"keep_last": "x"}]
)
def test_invalid_rule_changes_nothing(world: World, task: str, rule: dict[str, Any]):
    before = saved(world, task)
    refused = world.client.put(path(task), json=rule)
    assert (refused.status_code, failure_of(refused)["error"]["code"]) == (422, "validation_failed")
    assert world.client.data(path(task))["source"] == "none"
    assert saved(world, task) == before


@pytest.mark.parametrize(
    ("address", "name"),
    [("{task}/retention/preview?keep_last=1&keep_last=50", "keep_last"), ("compare?tasks=a,b&tasks=x", "tasks")],
)
def test_repeated_parameter_is_rejected(world: World, task: str, address: str, name: str):
    answer = world.client.get(f"{TRAINING}/{address.format(task=task)}")
    [error] = failure_of(answer)["error"]["errors"]
    assert (answer.status_code, error["pointer"], error["message"]) == (422, f"/{name}", "is repeated; give it once")


def test_unknown_training_has_no_rule(world: World):
    for answer in (
        world.client.get(path("absent")),
        world.client.get(path("absent", "/preview")),
        world.client.put(path("absent"), json={"keep_last": 1}),
    ):
        assert (answer.status_code, failure_of(answer)["error"]["code"]) == (404, "task_not_found")
