"""Holds: the queue starts no task, or a GPU is not assigned, until the hold ends."""

from typing import Any

import pytest

from tests.api.conftest import World

HOLDS = "/api/v1/system/holds"


def hold(world: World, **what: Any) -> str:
    made = world.client.post(HOLDS, json={"reason": "its fan is replaced", **what})
    assert made.status_code == 201, made.text
    world.sweep()
    hold_id: str = made.json()["data"]["hold_id"]
    return hold_id


def end(world: World, hold_id: str) -> None:
    assert world.client.delete(f"{HOLDS}/{hold_id}").status_code == 200
    world.sweep()


def gpu(world: World, index: int) -> Any:
    return world.client.data(f"/api/v1/gpu/{index}")


def test_held_queue_starts_nothing_until_the_hold_ends(world: World):
    hold_id = hold(world)
    task_id = world.start()
    world.train()
    waits = world.get(task_id)
    assert (waits["status"], waits["waiting_reason"]) == ("queued", "the queue is held: its fan is replaced")
    assert waits["waiting_reason_code"]["code"] == "queue_held"
    end(world, hold_id)
    world.train()
    assert world.get(task_id)["status"] == "starting"


def test_running_task_continues_under_a_held_queue(world: World):
    task_id = world.run()
    hold(world)
    world.train()
    assert world.get(task_id)["status"] == "running"


def test_held_gpu_is_not_assigned_and_reports_why(world: World):
    hold_id = hold(world, gpu_id="0")
    shown = gpu(world, 0)
    assert (shown["status"], shown["status_reason"]) == ("busy", "held back: its fan is replaced")
    task_id = world.start(gpu_ids=[0])
    world.train()
    assert world.get(task_id)["status"] == "queued"
    assert "held back" in world.get(task_id)["waiting_reason"]
    end(world, hold_id)
    assert gpu(world, 0)["status"] == "available"
    world.train()
    assert world.get(task_id)["status"] == "starting"


def test_gpu_is_held_by_the_number_used_in_responses(world: World):
    hold(world, gpu_id=gpu(world, 1)["gpu_id"])
    assert gpu(world, 1)["status"] == "busy"


def test_training_on_a_held_gpu_continues_but_is_its_last(world: World):
    first = world.run(gpu_ids=[0])
    hold(world, gpu_id=gpu(world, 0)["uuid"])
    assert gpu(world, 0)["status"] == "training"
    second = world.start(gpu_ids=[0])
    world.end(first)
    assert world.get(second)["status"] == "queued"
    assert gpu(world, 0)["status"] == "busy"


def test_hold_is_not_a_task_that_uses_gpus(world: World):
    hold(world, gpu_id="0")
    assert world.client.data("/api/v1/system/overview")["holders"].get("external", 0) == 0
    assert world.client.data("/api/v1/gpu/tasks")["tasks"] == []


def test_holds_are_listed_with_their_author_and_end_once(world: World):
    hold_id = hold(world, gpu_id="1")
    (shown,) = world.client.data(HOLDS)["holds"]
    assert (shown["hold_id"], shown["kind"], shown["made_by"], shown["alert_id"]) == (hold_id, "gpu", "api", None)
    end(world, hold_id)
    assert world.client.data(HOLDS) == {"holds": []}
    again = world.client.delete(f"{HOLDS}/{hold_id}")
    assert (again.status_code, again.json()["error"]["code"]) == (404, "hold_not_found")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"gpu_id": "77"}, "gpu_not_found"),
        ({"gpu_id": ""}, "validation_failed"),
        ({"reason": ""}, "validation_failed"),
    ],
)
def test_unknown_or_missing_targets_are_not_held(world: World, body: dict[str, Any], code: str):
    answer = world.client.post(HOLDS, json={"reason": "x", **body})
    assert answer.json()["error"]["code"] == code
    assert world.client.data(HOLDS) == {"holds": []}
