"""Datasets and their versions by HTTP."""

from pathlib import Path
from typing import Any

import pytest

from api.errors import QuotaExceeded
from tests.api.client import Client
from tests.api.conftest import MakeWorld, World
from tests.api.datasets import DATASETS, add_version, refusal_of


def make(client: Client, name: str = "cats", **fields: Any) -> Any:
    made = client.post(DATASETS, json={"name": name, **fields})
    assert made.status_code == 201, made.text
    return made.json()["data"]


def test_dataset_is_created_and_found_at_its_location(client: Client):
    made = client.post(DATASETS, json={"name": "cats", "description": "tabby", "tags": ["animals"]})
    assert made.status_code == 201
    found = client.data(made.headers["location"])
    assert found["dataset"] == made.json()["data"]
    assert (found["latest_version"], found["used_by"]) == (None, [])
    assert client.data(DATASETS)["datasets"] == [found["dataset"]]


def test_retry_with_the_same_key_creates_one_dataset(client: Client):
    response = {"json": {"name": "cats"}, "headers": {"Idempotency-Key": "k"}}
    first, again = client.post(DATASETS, **response), client.post(DATASETS, **response)
    assert (first.status_code, again.status_code, again.json()["data"]) == (201, 201, first.json()["data"])


def test_taken_name_is_a_conflict(client: Client):
    make(client)
    assert refusal_of(client.post(DATASETS, json={"name": "cats"})) == (409, "dataset_exists")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "a/b"},
        {"name": ".."},
        {"name": "cats", "x": 1},
        {"name": "cats", "tags": "animals"},
        {"name": "cats", "description": "a\0b"},
    ],
)
def test_invalid_dataset_is_rejected(client: Client, body: dict[str, Any]):
    assert refusal_of(client.post(DATASETS, json=body)) == (422, "validation_failed")


def test_name_description_and_tags_are_changed(client: Client):
    make(client, description="tabby")
    changed = client.patch(f"{DATASETS}/cats", json={"name": "kittens", "description": None, "tags": ["a", "b"]})
    result = changed.json()["data"]
    assert (result["name"], result["description"], result["tags"]) == ("kittens", None, ["a", "b"])
    assert refusal_of(client.get(f"{DATASETS}/cats")) == (404, "dataset_not_found")
    assert refusal_of(client.patch(f"{DATASETS}/kittens", json={})) == (422, "validation_failed")


def test_versions_are_listed_read_and_restored(world: World):
    client = world.client
    make(client)
    add_version(world, {"a.png": "one"})
    add_version(world, {"a.png": "two"})
    listed = client.data(f"{DATASETS}/cats/versions?limit=1")
    assert [each["version"] for each in listed["versions"]] == [2]
    rest = client.data(f"{DATASETS}/cats/versions?cursor={listed['pagination']['next_cursor']}")["versions"]
    assert [each["version"] for each in rest] == [1]
    by_manifest = client.data(f"{DATASETS}/cats/versions/{rest[0]['manifest']}")
    assert by_manifest == client.data(f"{DATASETS}/cats/versions/1") == rest[0]
    again = client.post(f"{DATASETS}/cats/versions/1/restore")
    assert (again.status_code, again.json()["data"]["version"]) == (201, 3)
    assert client.data(f"{DATASETS}/cats/versions/latest")["manifest"] == rest[0]["manifest"]
    assert refusal_of(client.get(f"{DATASETS}/cats/versions/9")) == (404, "version_not_found")


def test_deleted_dataset_is_not_found(client: Client):
    make(client)
    assert client.delete(f"{DATASETS}/cats").json()["data"] == {"name": "cats", "kept_for": []}
    assert refusal_of(client.delete(f"{DATASETS}/cats")) == (404, "dataset_not_found")


def test_datasets_are_read_by_a_team_and_changed_by_their_owner(make_world: MakeWorld):
    world = make_world(auth="required")
    ann, bob, vera = world.signed_in("ann"), world.signed_in("bob"), world.signed_in("vera", "viewer")
    assert make(ann.client)["owner"] == "ann"
    assert bob.client.data(f"{DATASETS}/cats")["dataset"]["owner"] == "ann"
    assert refusal_of(bob.client.patch(f"{DATASETS}/cats", json={"tags": []})) == (403, "not_yours")
    assert refusal_of(vera.client.post(DATASETS, json={"name": "dogs"})) == (403, "forbidden")
    assert world.signed_in("root", "admin").client.delete(f"{DATASETS}/cats").status_code == 200


def test_old_permission_preprocessing_permits_datasets(make_world: MakeWorld):
    world = make_world(auth="required")
    old = world.signed_in("old", permissions=["preprocessing"])
    make(old.client)
    assert old.client.data(f"{DATASETS}/cats")["dataset"]["owner"] == "old"


def test_audit_records_changes(make_world: MakeWorld):
    world = make_world(auth="required")
    ann, root = world.signed_in("ann"), world.signed_in("root", "admin")
    make(ann.client)
    ann.client.patch(f"{DATASETS}/cats", json={"tags": ["animals"]})
    ann.client.delete(f"{DATASETS}/cats")
    rows = root.client.data("/api/v1/auth/audit?actor=ann&operation=datasets")["entries"]
    result = [(row["operation"].split()[0], row["object"], row["before"]) for row in rows]
    assert result[1] == ("PATCH", "cats", {"tags": []})
    assert [each[:2] for each in result] == [("DELETE", "cats"), ("PATCH", "cats"), ("POST", "cats")]


# -- a directory on the server -----------------------------------------------------------------------------------------


def look(world: World) -> None:
    """Run one round of both threads of registered directories."""
    world.runtime.datasets.registered.check_once()
    world.runtime.datasets.registered.read_once()


def test_directory_on_the_server_becomes_a_dataset(make_world: MakeWorld, tmp_path: Path):
    media = tmp_path / "media"
    media.mkdir()
    (media / "a.png").write_bytes(b"A")
    (media / "a.txt").write_text("one")
    world = make_world(dataset_directories=(tmp_path,))
    made = make(world.client, directory=str(media))
    assert (made["directory"], made["watch"]["state"], made["latest"]) == (str(media), "reading", None)
    look(world)
    (media / "b.png").write_bytes(b"B")
    (media / "a\a.png").write_bytes(b"B")
    look(world)
    watch = world.client.data(f"{DATASETS}/cats")["dataset"]["watch"]
    assert (watch["state"], watch["added"], watch["examples"]) == ("changed", 1, ["b.png"])
    response = world.client.post(f"{DATASETS}/cats/refresh")
    assert (response.status_code, response.json()["data"]["dataset"]["watch"]["state"]) == (202, "reading")
    look(world)
    found = world.client.data(f"{DATASETS}/cats")
    assert (found["latest_version"]["items"], found["dataset"]["watch"]["misnamed"]) == (2, 1)
    assert found["dataset"]["watch"]["findings"] == [
        {"path": "'a\\x07.png'", "problem": "bad_name", "text": found["dataset"]["watch"]["findings"][0]["text"]}
    ]
    assert refusal_of(world.client.patch(f"{DATASETS}/cats/captions", json={"prefix": "x"})) == (
        409,
        "dataset_is_registered",
    )


def test_directory_that_is_not_permitted_is_rejected(client: Client):
    rejected = client.post(DATASETS, json={"name": "cats", "directory": "/etc"})
    assert refusal_of(rejected) == (422, "validation_failed")
    assert refusal_of(client.get(f"{DATASETS}/cats")) == (404, "dataset_not_found")


def test_uploaded_dataset_has_no_directory_to_read(client: Client):
    make(client)
    assert refusal_of(client.post(f"{DATASETS}/cats/refresh")) == (409, "conflict")


def test_dataset_counts_to_its_owners_storage(make_world: MakeWorld):
    world = make_world(auth="required", quota_storage_gb=0.000001)
    ann = world.signed_in("ann")
    make(ann.client)
    world.runtime.quotas.meter.measure()  # type: ignore[union-attr]
    with pytest.raises(QuotaExceeded, match="trainings, datasets and downloads take"):
        add_version(world, {"a" * 900 + ".png": "x", "b" * 900 + ".png": "y"})
    add_version(world, {"a.png": "x"})
    usage = {
        row["user_id"]: row["usage"]
        for row in world.signed_in("root", "admin").client.data("/api/v1/auth/users")["users"]
    }
    assert usage["ann"]["storage_gb"] == 0.0
    assert world.runtime.datasets.store.stored_by() == {"ann": world.runtime.datasets.store.get("cats").stored_bytes}
