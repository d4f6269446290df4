"""Preprocessing through the API, with the real program."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import Client
from tests.api.conftest import TRAINING, MakeWorld, World
from tests.api.datasets import DATASETS, refusal_of
from tests.api.preprocessing import PREPROCESS, begin, collect_results, fill, start, work
from tests.media import clip, picture


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return clip(tmp_path_factory.mktemp("media") / "x.mp4", 60, 30).read_bytes()


def status(client: Client, task_id: str) -> Any:
    return client.data(f"{PREPROCESS}/status/{task_id}")


def test_dataset_is_cut_retimed_and_captioned_into_a_new_version(world: World, video: bytes):
    fill(world, "clips", **{"a.mp4": video, "b.png": picture(40, 30), "c.mp4": b"broken"})
    request: dict[str, Any] = {
        "dataset": "clips",
        "model_type": "wan",
        "resolution": "32x32",
        "cut": {"by": "seconds", "seconds": 1},
        "captions": {"trigger": "ohwx"},
        "resolutions": [32],
    }
    task_id = start(world.client, **request)
    output = work(world, task_id)
    assert status(world.client, task_id)["status"] == "processing"
    assert status(world.client, task_id)["current_step"] == "keeping the result"
    collect_results(world)
    reported = status(world.client, task_id)
    assert (reported["status"], reported["progress"], reported["dataset"], reported["items_done"]) == (
        "completed",
        100.0,
        "clips@1",
        3,
    )
    result = reported["result"]
    assert (result["reference"], result["made"], result["problem_count"]) == ("clips@2", 3, 1)
    items = world.client.data(f"{DATASETS}/clips/items?version=2")["items"]
    assert {item["name"]: item["caption"] for item in items} == {
        "a_000.mp4": "ohwx, about a.mp4",
        "a_001.mp4": "ohwx, about a.mp4",
        "b.png": "ohwx, about b.png",
        "c.mp4": "ohwx, about c.mp4",
    }
    texts = [json.loads(line)["message"] if line.startswith("{") else line for line in output.splitlines()]
    assert [line["message"] for line in world.client.data(f"{PREPROCESS}/{task_id}/logs")["logs"]] == texts
    found = world.client.data(f"{PREPROCESS}/{task_id}/logs/search?keyword=cannot")["results"]
    assert len(found) == 1
    assert world.client.get(f"{PREPROCESS}/{task_id}/logs/download").text == output
    # With the same settings, only the unreadable item is processed again.
    again = start(world.client, **request | {"dataset": "clips@1"})
    assert "1 of 1 items" in work(world, again)
    collect_results(world)
    second = status(world.client, again)["result"]
    assert (second["made"], second["reused"], second["manifest"]) == (0, 3, result["manifest"])


def test_single_video_has_its_results(world: World, video: bytes):
    fill(world, "one", **{"a.mp4": video})
    task_id = start(world.client, dataset="one", fps=8, into="two")
    work(world, task_id)
    collect_results(world)
    result = status(world.client, task_id)["result"]
    assert (result["reference"], result["video_path"], result["prompt"]) == ("two@1", "a.mp4", "about a.mp4")
    assert result["metadata"] == {
        "fps": 8.0,
        "resolution": "64x48",
        "duration": 2.0,
        "frame_count": 16,
        "original_video": "a.mp4",
    }


def test_task_without_readable_items_fails_with_the_reasons(world: World):
    fill(world, "clips", **{"c.mp4": b"broken"})
    task_id = start(world.client, dataset="clips", fps=8)
    work(world, task_id)
    collect_results(world)
    reported = status(world.client, task_id)
    assert (reported["status"], reported["result"]) == ("failed", None)
    assert "c.mp4" in reported["failure"]["detail"]


def test_preprocessing_is_not_listed_as_a_training(world: World):
    fill(world, "clips", **{"a.png": picture()})
    task_id = start(world.client, dataset="clips")
    assert world.client.data(f"{TRAINING}/list")["tasks"] == []
    for address in (task_id, f"{task_id}/progress", f"{task_id}/checkpoints", f"{task_id}/events"):
        assert refusal_of(world.client.get(f"{TRAINING}/{address}")) == (404, "task_not_found")
    assert refusal_of(world.client.post(f"{TRAINING}/restart/{task_id}")) == (404, "task_not_found")
    assert refusal_of(world.client.get(f"{PREPROCESS}/status/{world.start()}")) == (404, "task_not_found")
    listed = world.client.data(f"{PREPROCESS}/list")
    assert ([task["task_id"] for task in listed["tasks"]], listed["pagination"]["total"]) == ([task_id], 1)
    assert world.client.data("/api/v1/gpu/summary")["busy_gpus"] == 0


def test_queued_and_running_preprocessing_can_be_cancelled(world: World):
    fill(world, "clips", **{"a.png": picture()})
    waiting = start(world.client, dataset="clips")
    cancelled = world.client.post(f"{PREPROCESS}/{waiting}/cancel")
    assert (cancelled.status_code, cancelled.json()["data"]["status"]) == (202, "cancelled")
    running = start(world.client, dataset="clips", short_side=16)
    begin(world, running)
    given = world.client.post(f"{PREPROCESS}/{running}/cancel").json()["data"]
    assert (given["status"], given["current_step"]) == ("processing", "stopping")
    world.train()
    assert len(world.executor.orders) == 1
    events = [event["current"] for event in world.client.data(f"{PREPROCESS}/{running}/events")["events"]]
    assert events == ["queued", "starting", "running", "stopping"]


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({}, ""),
        ({"dataset": "clips", "directory": "/x"}, ""),
        ({"dataset": "clips", "resolution": "512"}, "/resolution"),
        ({"dataset": "clips", "resolution": "64x64", "short_side": 64}, ""),
        ({"dataset": "clips", "crop": {"width": 0, "height": 5}}, "/crop/width"),
        ({"dataset": "clips", "cut": {"by": "seconds"}}, "/cut"),
        ({"dataset": "clips", "cut": {"by": "scene", "seconds": 1, "min_seconds": 2}}, "/cut"),
        ({"dataset": "clips", "fps": 0}, "/fps"),
        ({"dataset": "clips", "model_type": "wun"}, "/model_type"),
        ({"dataset": "clips", "unknown": 1}, "/unknown"),
        ({"directory": "/nowhere"}, "/directory"),
    ],
)
def test_impossible_request_is_rejected(world: World, options: dict[str, Any], pointer: str):
    fill(world, "clips", **{"a.png": picture()})
    refused = world.client.post(f"{PREPROCESS}/start", json=options)
    assert refusal_of(refused) == (422, "validation_failed")
    assert [each["pointer"] for each in refused.json()["error"]["errors"]][:1] == [pointer]


def test_finished_task_can_be_deleted_and_its_version_stays(world: World):
    fill(world, "clips", **{"a.png": picture()})
    task_id = start(world.client, dataset="clips", short_side=16)
    assert refusal_of(world.client.delete(f"{PREPROCESS}/{task_id}")) == (409, "task_not_finished")
    work(world, task_id)
    collect_results(world)
    assert world.client.data(f"{PREPROCESS}/list")["tasks"][0]["dataset"] == "clips@1"
    gone = world.client.delete(f"{PREPROCESS}/{task_id}")
    assert (gone.status_code, gone.json()["data"]["files_deleted"]) == (200, True)
    assert not (world.storage / "tasks" / task_id).exists()
    assert refusal_of(world.client.delete(f"{PREPROCESS}/{task_id}")) == (404, "task_not_found")
    assert [each["version"] for each in world.client.data(f"{DATASETS}/clips/versions")["versions"]] == [2, 1]


def test_missing_task_is_404(world: World):
    assert refusal_of(world.client.post(f"{PREPROCESS}/start", json={"dataset": "none"})) == (404, "dataset_not_found")
    for address in ("status/none", "none/events", "none/logs"):
        assert refusal_of(world.client.get(f"{PREPROCESS}/{address}")) == (404, "task_not_found")


def test_users_see_their_own_tasks_only(make_world: MakeWorld):
    world = make_world(auth="required", visibility="own")
    ann, bob = world.signed_in("ann"), world.signed_in("bob")
    fill(world, "anns", "ann", **{"a.png": picture()})
    task_id = start(ann.client, dataset="anns")
    assert ann.client.data(f"{PREPROCESS}/list")["tasks"][0]["owner"] == "ann"
    assert bob.client.data(f"{PREPROCESS}/list")["tasks"] == []
    assert refusal_of(bob.client.get(f"{PREPROCESS}/status/{task_id}")) == (404, "task_not_found")
    assert refusal_of(bob.client.post(f"{PREPROCESS}/{task_id}/cancel")) == (404, "task_not_found")
    assert refusal_of(bob.client.delete(f"{PREPROCESS}/{task_id}")) == (404, "task_not_found")
    assert refusal_of(bob.client.post(f"{PREPROCESS}/start", json={"dataset": "anns"})) == (404, "dataset_not_found")


def test_restarted_server_collects_results_of_a_killed_one(make_world: MakeWorld, tmp_path: Path):
    world = make_world()
    fill(world, "clips", **{"a.png": picture()})
    task_id = start(world.client, dataset="clips", short_side=16)
    work(world, task_id)
    world.runtime.work.recorder.run_once()
    # The server dies here: the version exists, but the task has no result yet.
    other = make_world(executor=world.executor)
    world.runtime.training_loop.stop()
    other.train()
    collect_results(other)
    assert status(other.client, task_id)["result"]["reference"] == "clips@2"
    assert [each["version"] for each in other.client.data(f"{DATASETS}/clips/versions")["versions"]] == [2, 1]
