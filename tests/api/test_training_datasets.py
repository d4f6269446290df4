"""Trainings with named datasets, pinned by their manifest and provided to each attempt."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import Client
from tests.api.conftest import TOY, TRAINING, MakeWorld, World
from tests.api.datasets import DATASETS, add_version, refusal_of

PICTURES: dict[str, str | None] = {"a.png": "one", "sub/a.png": "two", "b.png": None}


@pytest.fixture
def cats(world: World) -> World:
    """A dataset of three pictures, two with the same name."""
    world.client.post(DATASETS, json={"name": "cats"})
    add_version(world, PICTURES)
    return world


def on(reference: Any, **more: Any) -> dict[str, Any]:
    """Return a request for a toy training with a named dataset."""
    return {**TOY, "dataset": {"directories": [{"dataset": reference}]}, **more}


def validate(client: Client, body: dict[str, Any]) -> Any:
    answer: Any = client.post(f"{TRAINING}/validate", json=body).json()["data"]
    return answer


def directory(world: World, task_id: str) -> Path:
    """Return the directory of the dataset for the task."""
    (found,) = (world.storage / "tasks" / task_id / "datasets").iterdir()
    return found / "media"


def manifest(world: World, version: str = "latest") -> str:
    found: str = world.client.data(f"{DATASETS}/cats/versions/{version}")["manifest"]
    return found


@pytest.mark.parametrize("form", ["cats", "cats@1", "cats@latest", "manifest"])
def test_dataset_is_pinned_by_its_manifest_however_it_is_referenced(cats: World, form: str):
    reference = f"cats@{manifest(cats)}" if form == "manifest" else form
    task = cats.get(cats.start(**on(reference)))
    assert task["request"]["dataset"]["directories"] == [{"dataset": f"cats@{manifest(cats)}"}]
    (pin,) = task["plan"]["datasets"]
    assert (pin["dataset"], pin["version"], pin["manifest"], pin["items"]) == ("cats", 1, manifest(cats), 3)
    assert task["plan"]["dataset_items"] == 3


def test_toml_text_may_reference_a_dataset(cats: World):
    text = {"dataset_toml": "# mine\n[[directory]]\ndataset = 'cats'\n", "config_toml": "epochs = 3"}
    task_id = cats.run(model_type="toy", config={}, **text)
    request = cats.get(task_id)["request"]
    assert request["dataset_toml"] == f'# mine\n[[directory]]\ndataset = "cats@{manifest(cats)}"\n'
    result = (cats.storage / "tasks" / task_id / "attempts" / "1" / "dataset.toml").read_text()
    assert str(directory(cats, task_id)) in result


def test_attempt_has_its_own_directory_with_captions(cats: World):
    task_id = cats.run(**on("cats"))
    laid = directory(cats, task_id)
    assert sorted(path.name for path in laid.iterdir()) == ["a.png", "b.png", "captions.json", "sub__a.png"]
    assert json.loads((laid / "captions.json").read_text()) == {"a.png": ["one"], "sub__a.png": ["two"]}
    assert (laid / "sub__a.png").read_bytes() == b"sub/a.png"
    result = (cats.storage / "tasks" / task_id / "attempts" / "1" / "dataset.toml").read_text()
    assert f'path = "{laid}"' in result


def test_trainer_cannot_change_the_version_through_its_directory(cats: World):
    task_id = cats.run(**on("cats"))
    laid = directory(cats, task_id)
    (laid / "a.png").unlink()
    (laid / "b.png").unlink()
    (laid / "b.png").write_bytes(b"the trainer's")
    (laid / "cache").mkdir()
    (laid / "cache" / "latents").write_bytes(b"dear")
    cats.end(task_id)
    cats.make_checkpoints(task_id, 100)
    cats.client.post(f"{TRAINING}/resume/{task_id}", json={"config": {"epochs": 5}})
    cats.run(task_id)
    laid = directory(cats, task_id)
    assert {name: (laid / name).read_bytes() for name in ("a.png", "b.png")} == {"a.png": b"a.png", "b.png": b"b.png"}
    assert (laid / "cache" / "latents").read_bytes() == b"dear"


def test_resume_keeps_its_version_and_notes_newer_ones(cats: World):
    task_id = cats.finish(**on("cats"))
    cats.make_checkpoints(task_id, 100)
    add_version(cats, {"a.png": "another", "c.png": "new"})
    resumed = cats.client.post(f"{TRAINING}/resume/{task_id}", json={"config": {"epochs": 5}})
    assert resumed.status_code == 202, resumed.text
    plan = resumed.json()["data"]["plan"]
    assert plan["datasets"][0]["version"] == 1
    changes = "1 item added; 2 items removed; 1 caption changed"
    assert plan["notes"] == [f"cats: version 1 is used; the newest is 2, with {changes}."]


def test_resume_may_use_the_newest_version(cats: World):
    task_id = cats.finish(**on("cats"))
    cats.make_checkpoints(task_id, 100)
    add_version(cats, {**PICTURES, "c.png": "new"})
    body = {"config": {"epochs": 5}, "dataset": {"directories": [{"dataset": "cats"}]}}
    resumed = cats.client.post(f"{TRAINING}/resume/{task_id}", json=body)
    assert resumed.status_code == 202, resumed.text
    plan = resumed.json()["data"]["plan"]
    assert plan["datasets"][0]["version"] == 2
    assert plan["notes"] == ["cats: version 2 is used instead of 1: 1 item added."]
    assert plan["note_codes"][0]["code"] == "note_version_replaced"


def test_dataset_in_use_is_not_deleted_and_its_users_are_listed(cats: World):
    task_id = cats.start(**on("cats"))
    refused = cats.client.delete(f"{DATASETS}/cats")
    assert refusal_of(refused) == (409, "dataset_in_use")
    assert refused.json()["data"] == {"tasks": [task_id]}
    assert cats.client.data(f"{DATASETS}/cats")["used_by"] == [task_id]


def test_finished_task_can_resume_and_restart_after_its_dataset_was_renamed_and_deleted(cats: World):
    task_id = cats.finish(**on("cats"))
    cats.make_checkpoints(task_id, 100)
    cats.client.patch(f"{DATASETS}/cats", json={"name": "kittens"})
    assert cats.client.delete(f"{DATASETS}/kittens").json()["data"]["kept_for"] == [task_id]
    cats.runtime.datasets.collector.collect(0)
    cats.runtime.datasets.collector.collect(0)
    resumed = cats.client.post(f"{TRAINING}/resume/{task_id}", json={"config": {"epochs": 5}}).json()["data"]
    assert resumed["plan"]["notes"] == ["cats was deleted; its version 1 is kept for this task."]
    cats.end(cats.run(task_id))
    again = cats.client.post(f"{TRAINING}/restart/{task_id}").json()["data"]["task_id"]
    assert (directory(cats, cats.run(again)) / "a.png").read_bytes() == b"a.png"


def test_files_of_a_deleted_dataset_are_deleted_with_its_last_task(cats: World):
    parts, task_id = cats.runtime.datasets, cats.finish(**on("cats"))
    cats.client.delete(f"{DATASETS}/cats")
    cats.client.delete(f"{TRAINING}/{task_id}")
    for _ in range(2):
        parts.collector.collect(0)
    assert [path for path in (parts.blobs.root / "sha256").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("entry", "pointer"),
    [
        ({"dataset": "dogs"}, "dataset"),
        ({"dataset": "cats@7"}, "dataset"),
        ({"dataset": "cats@sha256:" + "0" * 64}, "dataset"),
        ({"dataset": "../cats"}, "dataset"),
        ({"dataset": 3}, "dataset"),
        ({"dataset": "cats", "path": "/data"}, "dataset"),
        ({"dataset": "cats", "repeat": 2}, "repeat"),
    ],
)
def test_unusable_dataset_is_reported_once_with_its_pointer(cats: World, entry: Any, pointer: str):
    result = validate(cats.client, {**TOY, "dataset": {"directories": [entry]}})
    assert [mistake["pointer"] for mistake in result["errors"]] == [f"/dataset/directories/0/{pointer}"]
    assert (
        refusal_of(cats.client.post(f"{TRAINING}/start", json={**TOY, "dataset": {"directories": [entry]}}))[0] == 422
    )


def test_validation_shows_the_plan_and_leaves_no_files(cats: World):
    result = validate(cats.client, on("cats"))
    assert result["valid"], result
    assert result["plan"]["datasets"][0]["version"] == 1
    assert f"{cats.storage}/tasks/TASK_ID/datasets/cats-" in result["plan"]["files"]["dataset.toml"]
    assert not (cats.storage / "tasks").exists() or list((cats.storage / "tasks").iterdir()) == []


def test_attempt_with_damaged_files_is_not_started_and_says_why(cats: World):
    parts = cats.runtime.datasets
    task_id = cats.start(**on("cats"))
    items = list(parts.service.read_items(manifest(cats).removeprefix("sha256:")))
    path = parts.blobs.path(items[0].sha256)
    path.chmod(0o600)
    path.write_bytes(b"spoil")
    cats.train()
    task = cats.get(task_id)
    assert (task["status"], task["failure"]["code"]) == ("failed", "could_not_start")
    assert "stored file of a.png is damaged" in task["failure"]["detail"]


def test_hidden_datasets_of_other_users_cannot_be_used(make_world: MakeWorld):
    world = make_world(auth="required", visibility="own")
    ann, bob = world.signed_in("ann"), world.signed_in("bob")
    ann.client.post(DATASETS, json={"name": "cats"})
    add_version(world, PICTURES)
    result = validate(bob.client, on("cats"))
    assert [mistake["message"] for mistake in result["errors"]] == ['No dataset is called "cats".']
    assert validate(ann.client, on("cats"))["valid"]


def test_start_with_a_concurrently_deleted_dataset_leaves_no_files(cats: World, monkeypatch: pytest.MonkeyPatch):
    intake = cats.runtime.services.training.service._intake
    create = intake.create

    def delete_first(*arguments: Any) -> Any:
        cats.runtime.datasets.store.delete("cats", cats.runtime.services.clock.now())
        return create(*arguments)

    monkeypatch.setattr(intake, "create", delete_first)
    body = on("cats", env={"HF_TOKEN": "hf_secret"})
    assert refusal_of(cats.client.post(f"{TRAINING}/start", json=body)) == (404, "dataset_not_found")
    assert list((cats.storage / "tasks").iterdir()) == []
