"""Quotas and fair share over HTTP, on a server with keys."""

from typing import Any

import pytest

from tests.api.conftest import TOY, TRAINING, MakeWorld, World


@pytest.fixture
def team(make_world: MakeWorld) -> World:
    return make_world(auth="required", quota_gpus=3, rate_limits=())


def permit(world: World, user_id: str, **bounds: Any) -> None:
    access = world.runtime.access
    access.store.note_user(user_id, world.runtime.services.clock.now(), bounds)
    access.ring.refresh()


def rejected(world: World, **fields: Any) -> dict[str, Any]:
    answer = world.client.post(f"{TRAINING}/start", json={**TOY, **fields})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "quota_exceeded"), answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_user_gets_no_more_gpus_than_the_quota(team: World):
    ann = team.signed_in("ann")
    ann.run(gpu_count=2)
    waits = ann.start(gpu_count=2)
    ann.train()
    task = ann.get(waits)
    assert task["waiting_reason"] == "waits for 1 of ann's 2 GPUs: the quota is 3 at a time"
    assert task["waiting_reason_code"]["code"] == "quota_gpus"
    assert rejected(ann, gpu_count=2, queue=False)["data"]["quota"] == "gpus"


def test_own_quota_overrides_the_default(team: World):
    ann, bob = team.signed_in("ann"), team.signed_in("bob")
    permit(team, "ann", gpus=1)
    assert rejected(ann, gpu_count=2)["data"]["limit"] == 1
    assert rejected(bob, gpu_count=4)["data"]["limit"] == 3
    bob.start(gpu_count=3)


def test_validation_finds_the_reasons_for_rejecting_a_start(team: World):
    ann = team.signed_in("ann")
    permit(team, "ann", queued_tasks=1)
    ann.start(gpu_count=3)
    error = rejected(ann)["error"]["detail"]
    found = ann.client.post(f"{TRAINING}/validate", json=TOY).json()["data"]
    assert not found["valid"]
    assert error in [each["message"] for each in found["errors"]]


def test_rehearsal_counts_like_a_training(team: World):
    ann = team.signed_in("ann")
    permit(team, "ann", gpus=1, queued_tasks=1)
    refused = ann.client.post(f"{TRAINING}/rehearse", json={**TOY, "gpu_count": 2})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "quota_exceeded")
    ann.start()
    refused = ann.client.post(f"{TRAINING}/rehearse", json=TOY)
    assert (refused.status_code, refused.json()["data"]["quota"]) == (409, "queued_tasks")
    assert ann.client.data(f"{TRAINING}/list?kind=rehearse")["tasks"] == []


def test_single_task_of_another_user_is_next_in_the_queue(team: World):
    ann, bob = team.signed_in("ann"), team.signed_in("bob")
    runs = ann.run(gpu_count=3)
    sweep = [ann.start() for _ in range(50)]
    ann.train()
    single = bob.start(gpu_count=2)
    queue = bob.client.data(f"{TRAINING}/list?order=queue&limit=3")["tasks"]
    assert [task["task_id"] for task in queue] == [single, *sweep[:2]]
    assert [task["queue_position"] for task in queue] == [1, 2, 3]
    ann.end(runs)
    bob.train()
    assert bob.get(single)["status"] == "starting"
    assert [task for task in sweep if ann.get(task)["status"] == "starting"] == sweep[:2]


def test_users_see_their_own_usage_and_administrators_all(team: World):
    ann, admin = team.signed_in("ann"), team.signed_in("root", "admin")
    permit(team, "ann", gpus=2)
    ann.run(gpu_count=2)
    ann.start()
    who = ann.client.data("/api/v1/auth/whoami")
    assert who["quota"] == {"gpus": 2, "queued_tasks": None, "gpu_hours_per_day": None, "storage_gb": None}
    assert {**who["usage"], "gpu_hours_last_day": 0} == {
        "gpus": 2,
        "queued_tasks": 1,
        "gpu_hours_last_day": 0,
        "storage_gb": None,
    }
    users = {user["user_id"]: user for user in admin.client.data("/api/v1/auth/users")["users"]}
    assert (users["ann"]["usage"]["gpus"], users["root"]["usage"]["gpus"]) == (2, 0)
    assert (users["ann"]["quota"]["gpus"], users["root"]["quota"]["gpus"]) == (2, None)


def test_service_without_keys_has_no_quotas(make_world: MakeWorld):
    world = make_world()
    assert world.runtime.quotas is None
    assert world.client.data("/api/v1/auth/whoami")["usage"] is None
    world.run(gpu_count=4)


def test_position_overtakes_no_task_of_another_user(team: World):
    ann, bob = team.signed_in("ann"), team.signed_in("bob")
    ann.run(gpu_count=3)
    team.signed_in("cid").run(gpu_count=1)
    first, *_, last = [ann.start() for _ in range(3)]
    single = bob.start(gpu_count=2)
    assert ann.client.patch(f"{TRAINING}/{last}", json={"queue_position": "first"}).status_code == 200
    queue = ann.client.data(f"{TRAINING}/list?order=queue")["tasks"]
    assert [task["task_id"] for task in queue][:3] == [single, last, first]
    answer = bob.client.patch(f"{TRAINING}/{last}", json={"queue_position": "last"})
    assert answer.status_code in (403, 404)
