"""Uploads as a form, as clients of an earlier server send them."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import MakeWorld, World
from tests.api.uploads import Uploads, archive, picture
from tests.media import clip

UPLOAD = "/api/v1/preprocess/upload"
STATUS = "/api/v1/preprocess/status"


pytestmark = pytest.mark.usefixtures("shared_decoder")


@pytest.fixture
def uploads(world: World) -> Uploads:
    return Uploads(world)


def post(uploads: Uploads, content: bytes = b"", name: str = "video", filename: str = "x.png", **options: Any) -> Any:
    return uploads.world.client.post(UPLOAD, files={name: (filename, content)}, **options)


def finished(uploads: Uploads, task_id: str) -> Any:
    uploads.take()
    return uploads.world.client.data(f"{STATUS}/{task_id}")


@pytest.mark.parametrize("name", ["video", "file"])
def test_a_file_with_its_prompt_becomes_an_item_of_a_dataset(uploads: Uploads, name: str):
    made = post(uploads, picture(64, 48), name, data={"prompt": "a cat", "dataset": "cats"})
    task = made.json()["data"]
    assert (made.status_code, task["status"], task["result"]) == (202, "queued", None)
    assert made.headers["location"] == f"{STATUS}/{task['task_id']}"
    assert task["task_id"].startswith("preprocess_")
    done = finished(uploads, task["task_id"])
    assert (done["status"], done["progress"]) == ("completed", 100.0)
    assert (
        done["result"].items()
        >= {
            "dataset": "cats",
            "version": 1,
            "video_path": "x.png",
            "prompt": "a cat",
            "metadata": {
                "fps": None,
                "resolution": "64x48",
                "duration": None,
                "frame_count": 1,
                "original_video": "x.png",
            },
        }.items()
    )
    assert uploads.items() == {"x.png": "a cat"}


def test_prompt_of_an_archive_applies_to_items_without_caption(uploads: Uploads):
    content = archive(**{"x.png": picture(), "x.txt": b"tom", "y.png": picture(color=2)})
    made = post(uploads, content, filename="a.zip", data={"prompt": "a cat", "dataset": "cats"})
    done = finished(uploads, made.json()["data"]["task_id"])
    assert (done["result"]["video_path"], done["result"]["metadata"]["original_video"]) == (None, "a.zip")
    assert uploads.items() == {"x.png": "tom", "y.png": "a cat"}


def test_all_mistakes_are_returned_together_and_nothing_is_stored(uploads: Uploads):
    data = {"prompts": "x", "fps": "-1", "resolution": "big", "dataset": "../x", "model_type": "none"}
    refused = post(uploads, b"", data=data)
    assert refused.status_code == 422
    pointers = {each["pointer"] for each in refused.json()["error"]["errors"]}
    assert pointers == {"/prompts", "/fps", "/resolution", "/dataset", "/model_type", "/video"}
    assert os.listdir(uploads.world.storage / "datasets/uploads") == []
    assert uploads.world.client.data("/api/v1/uploads")["uploads"] == []


def test_retry_returns_the_first_task(uploads: Uploads):
    once = {"headers": {"Idempotency-Key": "k"}, "data": {"dataset": "cats"}}
    first, second = (post(uploads, picture(), **once) for _ in range(2))
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert len(os.listdir(uploads.world.storage / "datasets/uploads")) == 1
    assert post(uploads, picture(color=1), **once).status_code == 422


def test_requested_preprocessing_is_a_task_with_the_same_id(uploads: Uploads):
    uploads.taken(picture(color=9), filename="other.png")
    made = post(uploads, picture(64, 48), data={"resolution": "32x32", "dataset": "cats", "prompt": "a cat"})
    task_id = made.json()["data"]["task_id"]
    task = finished(uploads, task_id)
    assert (task["task_id"], task["status"], task["work"], task["dataset"]) == (
        task_id, "queued", "preprocessing", "cats@2",
    )  # fmt: skip
    assert (task["request"]["paths"], task["request"]["media"]["width"]) == (["x.png"], 32)
    assert uploads.world.client.data("/api/v1/preprocess/list")["tasks"][0]["task_id"] == task_id
    uploads.take()
    assert uploads.world.client.data("/api/v1/preprocess/list")["pagination"]["total"] == 1


def test_uploaded_video_with_its_prompt_can_be_trained_on(uploads: Uploads, tmp_path: Path):
    video = clip(tmp_path / "walk.mp4", 8, 8).read_bytes()
    made = post(uploads, video, filename="walk.mp4", data={"prompt": "it walks"})
    result = finished(uploads, made.json()["data"]["task_id"])["result"]
    assert (result["video_path"], result["prompt"], result["metadata"]["frame_count"]) == ("walk.mp4", "it walks", 8)
    directories = [{"dataset": result["reference"]}]
    body = {"model_type": "toy", "gpu_count": 1, "config": {"epochs": 1}, "dataset": {"directories": directories}}
    reported = uploads.world.client.post("/api/v1/training/validate", json=body).json()["data"]
    assert (reported["valid"], reported["errors"], reported["plan"]["dataset_items"]) == (True, [], 1)


def test_form_can_name_the_toy_trainer(uploads: Uploads):
    assert post(uploads, picture(), data={"model_type": "toy"}).status_code == 202
    assert post(uploads, picture(), data={"model_type": "toys"}).status_code == 422


def test_missing_upload_task_is_404(uploads: Uploads):
    assert (
        uploads.world.client.get(f"{STATUS}/preprocess_20260101_00000000").json()["error"]["code"] == "task_not_found"
    )


def test_tasks_of_another_user_are_hidden_and_unchangeable(make_world: MakeWorld):
    world = make_world(auth="required", visibility="own")
    ann, bob = world.key("ann"), world.key("bob")
    mine = Uploads(world)
    made = mine.begin(5, ann)
    assert made.status_code == 201
    url = made.headers["location"]
    for method in ("GET", "HEAD", "DELETE"):
        assert world.client.ask(method, url, headers={**bob, "Tus-Resumable": "1.0.0"}).status_code == 404
    assert mine.send(url, 0, b"abc", **bob).status_code == 404
    assert world.client.ask("GET", "/api/v1/uploads", headers=bob).json()["data"]["uploads"] == []
    assert mine.send(url, 0, b"abc", **ann).status_code == 204
    task = world.client.post(UPLOAD, files={"video": ("x.png", picture())}, headers=ann).json()["data"]["task_id"]
    assert world.client.ask("GET", f"{STATUS}/{task}", headers=bob).status_code == 404
    assert world.client.ask("GET", f"{STATUS}/{task}", headers=ann).status_code == 200


def test_upload_over_the_storage_quota_is_rejected_before_its_bytes(make_world: MakeWorld):
    world = make_world(auth="required", quota_storage_gb=0.001)
    ann = world.key("ann")
    world.runtime.quotas.meter.measure()  # type: ignore[union-attr]
    assert Uploads(world).begin(2_000_000, ann).json()["error"]["code"] == "quota_exceeded"
    assert Uploads(world).begin(600_000, ann).status_code == 201
    # The announced size counts before the bytes arrive.
    assert Uploads(world).begin(600_000, ann).status_code == 409


def test_visible_upload_can_be_changed_by_its_owner_only(make_world: MakeWorld):
    world = make_world(auth="required")
    mine = Uploads(world)
    url = mine.begin(5, world.key("ann")).headers["location"]
    bob = world.key("bob")
    assert world.client.ask("GET", url, headers=bob).status_code == 200
    assert mine.send(url, 0, b"abc", **bob).json()["error"]["code"] == "not_yours"
    assert world.client.ask("DELETE", url, headers={**bob, "Tus-Resumable": "1.0.0"}).status_code == 403
