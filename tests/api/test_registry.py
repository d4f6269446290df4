import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import RUN_DIR, MakeWorld, World
from tests.api.datasets import refusal_of
from tests.unit.files.weights.stand_ins import write_stand_in

REGISTRY = "/api/v1/models/registry"
ARTIFACT = f"{RUN_DIR}/epoch2/adapter_model.safetensors"
LORA = {"diffusion_model.blocks.0.q.lora_A.weight": [16, 64], "diffusion_model.blocks.0.q.lora_B.weight": [64, 16]}


@pytest.fixture
def task(world: World) -> str:
    task_id = world.finish(name="My cats")
    write_stand_in(world.output(task_id) / ARTIFACT, LORA, "BF16", {"format": "pt"})
    return task_id


def register(world: World, task: str, **fields: Any) -> Any:
    body = {"task_id": task, "artifact": ARTIFACT, "name": "cats", **fields}
    made = world.client.post(REGISTRY, json=body)
    assert made.status_code == 201, made.text
    return made.json()["data"]


def test_file_of_a_training_becomes_a_version_with_its_origin(world: World, task: str):
    made = register(world, task, aliases=["prod"], tags=["a"], notes="sharp")
    assert (made["model"], made["version"], made["aliases"], made["file_name"]) == (
        "cats", 1, ["prod"], "cats-v1-epoch2.safetensors",
    )  # fmt: skip
    assert made["format"] | {"kind": "lora", "rank": 16, "dtype": "BF16", "keys": "comfyui"} == made["format"]
    assert made["origin"] | {"task_id": task, "epoch": 2, "artifact": ARTIFACT} == made["origin"]
    assert register(world, task)["version"] == 2
    (row,) = world.client.data(f"{REGISTRY}?search=CAT")["models"]
    assert (row["versions"], row["aliases"], row["latest"]["version"]) == (2, {"prod": 1}, 2)


def test_download_supports_ranges_and_has_a_descriptive_name(world: World, task: str):
    register(world, task, aliases=["prod"])
    source = world.client.get(f"/api/v1/training/{task}/artifacts/{ARTIFACT}").content
    whole = world.client.get(f"{REGISTRY}/cats/versions/prod/file")
    assert whole.content == source
    assert "cats-v1-epoch2.safetensors" in whole.headers["content-disposition"]
    part = world.client.get(f"{REGISTRY}/cats/versions/latest/file", headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, source[5:10])


def test_version_is_unchanged_when_the_training_overwrites_its_file(world: World, task: str):
    made = register(world, task)
    (world.output(task) / ARTIFACT).write_bytes(b"something else")
    found = world.client.get(f"{REGISTRY}/cats/versions/1/file").content
    assert hashlib.sha256(found).hexdigest() == made["sha256"]


def test_incomplete_file_is_rejected(world: World, task: str):
    path = world.output(task) / ARTIFACT
    os.truncate(path, path.stat().st_size - 1)
    refused = world.client.post(REGISTRY, json={"task_id": task, "artifact": ARTIFACT, "name": "cats"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "weights_refused")
    assert world.client.get(f"{REGISTRY}/cats").json()["error"]["code"] == "registered_model_not_found"
    absent = world.client.post(REGISTRY, json={"task_id": task, "artifact": "../x", "name": "cats"})
    assert absent.json()["error"]["code"] == "artifact_not_found"


def test_metadata_is_written_into_a_copy(world: World, task: str):
    first = register(world, task)
    made = world.client.post(f"{REGISTRY}/cats/versions/1/metadata", json={"trigger": "ohwx", "metadata": {"a": "b"}})
    assert made.status_code == 201, made.text
    second = made.json()["data"]
    assert (second["version"], second["file_name"]) == (2, "cats-v2-epoch2.safetensors")
    result = second["format"]["metadata"]
    assert result | {"format": "pt", "modelspec.trigger_phrase": "ohwx", "ss_network_dim": "16", "a": "b"} == result
    assert second["origin"]["metadata_of"] == 1
    data = [world.client.get(f"{REGISTRY}/cats/versions/{n}/file").content[-first["size_bytes"] // 2 :] for n in (1, 2)]
    assert data[0] == data[1]


def test_version_is_deleted_unless_it_has_an_alias(world: World, task: str):
    register(world, task, aliases=["prod"])
    refused = world.client.delete(f"{REGISTRY}/cats/versions/1")
    assert refused.json()["error"]["code"] == "version_in_use"
    world.client.patch(f"{REGISTRY}/cats/versions/1", json={"aliases": []})
    assert world.client.delete(f"{REGISTRY}/cats/versions/1").json()["data"] == {"name": "cats", "version": 1}
    assert world.client.data(f"{REGISTRY}/cats")["latest"] is None
    assert world.client.delete(f"{REGISTRY}/cats").status_code == 200


def test_links_for_comfyui_follow_the_aliases(make_world: MakeWorld, tmp_path: Path):
    (tmp_path / "loras").mkdir()
    world = make_world(comfyui_loras=(tmp_path / "loras",))
    task = world.finish()
    write_stand_in(world.output(task) / ARTIFACT, LORA)
    register(world, task, aliases=["prod"])
    assert [path.name for path in (tmp_path / "loras").iterdir()] == ["cats-prod.safetensors"]
    world.client.patch(f"{REGISTRY}/cats", json={"name": "tigers"})
    assert [path.name for path in (tmp_path / "loras").iterdir()] == ["tigers-prod.safetensors"]
    world.client.patch(f"{REGISTRY}/tigers/versions/1", json={"aliases": None})
    assert list((tmp_path / "loras").iterdir()) == []


def test_a_link_for_comfyui_belongs_to_one_model(make_world: MakeWorld, tmp_path: Path):
    (tmp_path / "loras").mkdir()
    world = make_world(comfyui_loras=(tmp_path / "loras",))
    task = world.finish()
    write_stand_in(world.output(task) / ARTIFACT, LORA)
    register(world, task, name="cats", aliases=["big-prod"])
    for name in ("cats-big", "dogs"):
        register(world, task, name=name)
    body = {"task_id": task, "artifact": ARTIFACT, "name": "cats-big", "aliases": ["prod"]}
    assert refusal_of(world.client.post(REGISTRY, json=body)) == (409, "conflict")
    aliased = world.client.patch(f"{REGISTRY}/cats-big/versions/1", json={"aliases": ["prod"]})
    assert refusal_of(aliased) == (409, "conflict")
    assert world.client.patch(f"{REGISTRY}/dogs/versions/1", json={"aliases": ["big-prod"]}).status_code == 200
    assert world.client.patch(f"{REGISTRY}/dogs", json={"name": "x"}).status_code == 200
    world.client.patch(f"{REGISTRY}/cats-big", json={"name": "free"})
    assert world.client.patch(f"{REGISTRY}/free/versions/1", json={"aliases": ["prod"]}).status_code == 200
    assert refusal_of(world.client.patch(f"{REGISTRY}/free", json={"name": "cats-big"})) == (409, "conflict")
    assert sorted(path.name for path in (tmp_path / "loras").iterdir()) == [
        "cats-big-prod.safetensors",
        "free-prod.safetensors",
        "x-big-prod.safetensors",
    ]


def test_files_that_no_version_needs_are_collected(world: World, task: str):
    register(world, task)
    service = world.runtime.library.registry.service
    store = world.storage / "registry" / "sha256"
    service.collect(0)
    service.collect(0)
    assert len(list(store.glob("*/*"))) == 1
    world.client.delete(f"{REGISTRY}/cats")
    service.collect(0)
    service.collect(0)
    assert list(store.glob("*/*")) == []


def test_models_of_other_users_are_hidden(make_world: MakeWorld):
    world = make_world(auth="required", visibility="own")
    ann, bob = world.signed_in("ann"), world.signed_in("bob")
    task = ann.finish()
    write_stand_in(world.output(task) / ARTIFACT, LORA)
    register(ann, task)
    assert bob.client.data(REGISTRY)["models"] == []
    assert bob.client.get(f"{REGISTRY}/cats/versions/1/file").json()["error"]["code"] == "registered_model_not_found"
    body = {"task_id": task, "artifact": ARTIFACT, "name": "bobs"}
    assert bob.client.post(REGISTRY, json=body).json()["error"]["code"] == "task_not_found"
    own = bob.finish()
    write_stand_in(world.output(own) / ARTIFACT, LORA)
    taken = bob.client.post(REGISTRY, json={**body, "task_id": own, "name": "cats"})
    assert taken.json()["error"]["code"] == "model_exists"


def test_only_owners_add_versions(make_world: MakeWorld):
    world = make_world(auth="required")
    ann, bob = world.signed_in("ann"), world.signed_in("bob")
    task = ann.finish()
    write_stand_in(world.output(task) / ARTIFACT, LORA)
    register(ann, task)
    body = {"task_id": task, "artifact": ARTIFACT, "name": "cats"}
    assert bob.client.post(REGISTRY, json=body).json()["error"]["code"] == "not_yours"
    assert bob.client.patch(f"{REGISTRY}/cats", json={"tags": []}).json()["error"]["code"] == "not_yours"


def test_repeated_registration_with_one_key_adds_one_version(world: World, task: str):
    body = {"task_id": task, "artifact": ARTIFACT, "name": "cats"}
    for _ in range(2):
        made = world.client.post(REGISTRY, json=body, headers={"Idempotency-Key": "one"})
        assert made.json()["data"]["version"] == 1
