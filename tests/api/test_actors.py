"""Owners of resources and actors of events, with and without keys."""

from typing import Any

from api.executors.fake import outcome
from tests.api.conftest import TOY, TRAINING, MakeWorld, World

REGISTRY = "/api/v1/gpu/tasks"


def actors(world: World, task_id: str) -> list[tuple[str, str]]:
    events = world.client.data(f"{TRAINING}/{task_id}/events")["events"]
    return [(event["type"], event["actor"]) for event in events]


def owner(world: World, table: str, task_id: str) -> Any:
    with world.runtime.database.read() as connection:
        return connection.exec_driver_sql(f"SELECT owner FROM {table} WHERE task_id = '{task_id}'").scalar_one()


def test_without_keys_tasks_have_no_owner_and_the_actor_is_api(world: World):
    task_id = world.start()
    assert owner(world, "tasks", task_id) is None
    assert actors(world, task_id) == [("status", "api")]


def test_task_belongs_to_the_user_who_started_it_and_events_name_the_actor(make_world: MakeWorld):
    world = make_world(auth="required")
    ann, root = world.signed_in("ann"), world.signed_in("root", "admin")
    task_id = ann.start()
    ann.client.patch(f"{TRAINING}/{task_id}", json={"priority": 7})
    root.client.post(f"{TRAINING}/{task_id}/stop", json={})
    assert owner(world, "tasks", task_id) == "ann"
    named = actors(ann, task_id)
    assert named[0] == ("status", "ann")
    assert [actor for _, actor in named] == ["ann", "ann", "root"]


def test_restarted_task_belongs_to_the_requesting_user(make_world: MakeWorld):
    world = make_world(auth="required")
    done = world.signed_in("ann").finish()
    root = world.signed_in("root", "admin")
    made = root.client.post(f"{TRAINING}/restart/{done}")
    assert made.status_code == 201, made.text
    assert owner(world, "tasks", made.json()["data"]["task_id"]) == "root"


def test_resumed_task_keeps_its_owner(make_world: MakeWorld):
    world = make_world(auth="required")
    ann, root = world.signed_in("ann"), world.signed_in("root", "admin")
    done = ann.run()
    ann.make_checkpoints(done, 10)
    ann.end(done, outcome(exit_code=1))
    assert root.client.post(f"{TRAINING}/resume/{done}", json={}).status_code == 202
    assert owner(world, "tasks", done) == "ann"
    assert ("status", "root") in actors(root, done)


def test_registration_belongs_to_the_registering_user(make_world: MakeWorld):
    world = make_world(auth="required")
    ann, bob = world.signed_in("ann"), world.signed_in("bob")
    made = ann.client.post(REGISTRY, json={"task_id": "mine", "gpu_ids": [0], "task_type": "training"})
    assert made.status_code == 201, made.text
    assert owner(world, "registrations", "mine") == "ann"
    assert bob.client.patch(f"{REGISTRY}/mine", json={"progress": 5}).json()["error"]["code"] == "not_yours"
    assert bob.client.delete(f"{REGISTRY}/mine").status_code == 403
    assert ann.client.delete(f"{REGISTRY}/mine").status_code == 200


def test_only_owner_and_administrators_change_a_training(make_world: MakeWorld):
    world = make_world(auth="required")
    ann, bob, root = world.signed_in("ann"), world.signed_in("bob"), world.signed_in("root", "admin")
    done = ann.finish()
    for method, path in [
        ("PATCH", done),
        ("DELETE", done),
        ("POST", f"{done}/save"),
        ("POST", f"{done}/stop"),
        ("POST", f"stop/{done}"),
        ("POST", f"restart/{done}"),
        ("POST", f"resume/{done}"),
    ]:
        refused = bob.client.ask(method, f"{TRAINING}/{path}", json={})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_yours"), path
    assert bob.get(done)["status"] == "completed"
    assert root.client.delete(f"{TRAINING}/{done}").status_code == 200


def test_start_by_a_viewer_is_refused_before_its_body_is_read(make_world: MakeWorld):
    world = make_world(auth="required")
    viewer = world.signed_in("vera", "viewer")
    refused = viewer.client.post(f"{TRAINING}/rehearse", json={**TOY, "nonsense": 1})
    assert refused.status_code == 403
    refused = viewer.client.post(f"{TRAINING}/start", json={**TOY, "nonsense": 1})
    assert refused.status_code == 403
    assert refused.json()["data"] == {"missing_permission": "training:write"}
