"""Samples of trainings: what is rendered and recorded, what is rejected, and who sees it."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from api.domain.tasks.retention import RetentionRule
from api.domain.tasks.task import ProcessIdentity
from api.errors import CacheInUse
from api.executors.fake import outcome
from api.jobs.kinds import SAMPLING_JOB
from api.jobs.sampling.program import SamplingProgram
from api.samples import sheet as sample_sheet
from tests.api.client import failure_of
from tests.api.conftest import RUN_DIR, TRAINING, MakeWorld, World
from tests.comfyui_server import WORKFLOW, ComfyServer, comfy_server

pytestmark = pytest.mark.usefixtures("shared_decoder")

FILE = "adapter_model.safetensors"

SET: dict[str, Any] = {"prompts": [{"text": "a dog"}, {"text": "a cat", "seed": 7}], "seed": 1, "workflow": WORKFLOW}


@pytest.fixture
def comfy(tmp_path: Path) -> Iterator[ComfyServer]:
    with comfy_server(tmp_path / "loras") as server:
        yield server


@pytest.fixture
def world(make_world: MakeWorld, comfy: ComfyServer) -> World:
    return make_world(comfyui_url=comfy.url, comfyui_loras=(comfy.loras,))


def save_model(world: World, task_id: str, name: str, text: str = "own") -> Path:
    """Save a model whose effect in the stand-in depends on the text."""
    path = world.output(task_id) / RUN_DIR / name / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"a": np.zeros(4)}, path, metadata={"words": f" {text} "})
    return path


@pytest.fixture
def training(world: World) -> str:
    """A completed training with two saved models."""
    task_id = world.finish()
    save_model(world, task_id, "epoch1", "first")
    save_model(world, task_id, "epoch2", "second")
    return task_id


def sample(world: World, task_id: str, **body: Any) -> dict[str, Any]:
    answer = world.client.post(f"{TRAINING}/{task_id}/samples", json={"sample_set": SET, **body})
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()["data"]
    assert answer.headers["location"] == f"{TRAINING}/{made['task_id']}"
    return made


def rejected(world: World, task_id: str, expected: int = 409, **body: Any) -> dict[str, Any]:
    answer = world.client.post(f"{TRAINING}/{task_id}/samples", json={"sample_set": SET, **body})
    assert answer.status_code == expected, answer.text
    error: dict[str, Any] = failure_of(answer)["error"]
    return error


def samples_of(world: World, task_id: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.client.data(f"{TRAINING}/{task_id}/samples", params=query)["samples"]
    return found


def begin(world: World, sampling_id: str) -> None:
    world.train()
    world.executor.runs(world.uid(sampling_id), ProcessIdentity(4712, 1.0))
    world.train()


def render(world: World, sampling_id: str, run: str = "run_1") -> int:
    """Run the program, without letting its task end."""
    return SamplingProgram(world.output(sampling_id), run).run()


def carry_out(world: World, sampling_id: str) -> None:
    """Run the program of a queued task, and let the task end."""
    begin(world, sampling_id)
    assert render(world, sampling_id) == 0
    phrase = SAMPLING_JOB.completed_phrase
    world.prints(sampling_id, f"{phrase}\n")
    world.executor.ends(world.uid(sampling_id), outcome(exit_code=0, phrases=frozenset({phrase}), last_step=1))
    world.train()
    assert world.get(sampling_id)["status"] == "completed"


def test_latest_saved_model_is_rendered_by_a_task_without_gpus(world: World, training: str):
    made = sample(world, training)
    assert made["task_id"].startswith("sample_")
    assert (made["kind"], made["gpu_count"], made["status"]) == ("sample", 0, "queued")
    assert made["sampling"] == {"task_id": training, "checkpoints": ["epoch2"], "seeds": [1, 7], "strength": 1.0}
    carry_out(world, made["task_id"])
    found = samples_of(world, training)
    assert {(each["checkpoint"], each["prompt"], each["seed"], each["problem"]) for each in found} == {
        (None, "a dog", 1, None),
        (None, "a cat", 7, None),
        ("epoch2", "a dog", 1, None),
        ("epoch2", "a cat", 7, None),
    }
    assert {each["comfyui_version"] for each in found} == {"0.3.64"}
    assert list(world.runtime.config.comfyui_loras[0].iterdir()) == []
    assert [row["task_id"] for row in world.client.data(f"{TRAINING}/list")["tasks"]] == [training]
    assert [row["task_id"] for row in world.client.data(f"{TRAINING}/list?kind=sample")["tasks"]] == [made["task_id"]]


def test_samples_appear_while_the_task_runs_and_are_recorded_once(world: World, training: str):
    made = sample(world, training)["task_id"]
    begin(world, made)
    render(world, made)
    first = samples_of(world, training)
    assert len(first) == 4
    assert world.get(made)["status"] == "running"
    assert samples_of(world, training) == first
    world.executor.ends(world.uid(made), outcome(exit_code=1))
    world.train()
    assert samples_of(world, training) == first


def test_file_and_thumbnail_of_a_sample(world: World, training: str):
    carry_out(world, sample(world, training)["task_id"])
    found = samples_of(world, training)[0]
    picture = world.client.get(found["url"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert picture.content.startswith(b"\x89PNG")
    small = world.client.get(found["thumbnail"])
    assert small.status_code == 200, small.text
    assert (small.headers["content-type"], small.content[:2]) == ("image/jpeg", b"\xff\xd8")
    assert world.client.get(found["thumbnail"], headers={"If-None-Match": small.headers["etag"]}).status_code == 304


def test_list_is_filtered_and_paged(world: World, training: str):
    carry_out(world, sample(world, training, checkpoints=["epoch1", "epoch2"])["task_id"])
    assert len(samples_of(world, training)) == 6
    assert [each["checkpoint"] for each in samples_of(world, training, checkpoint="epoch1")] == ["epoch1"] * 2
    assert [each["checkpoint"] for each in samples_of(world, training, checkpoint="base")] == [None] * 2
    assert [each["prompt"] for each in samples_of(world, training, prompt="a cat")] == ["a cat"] * 3
    page = world.client.data(f"{TRAINING}/{training}/samples", params={"limit": 4})
    rest = world.client.data(
        f"{TRAINING}/{training}/samples", params={"limit": 4, "cursor": page["pagination"]["next_cursor"]}
    )
    both = [each["sample_id"] for each in (*page["samples"], *rest["samples"])]
    assert (len(both), len(set(both)), page["pagination"]["total"]) == (6, 6, 6)


def test_base_model_is_rendered_once_for_the_same_prompts(world: World, training: str, comfy: ComfyServer):
    carry_out(world, sample(world, training, checkpoints=["epoch1"])["task_id"])
    assert len(comfy.graphs) == 4
    carry_out(world, sample(world, training, checkpoints=["epoch2"])["task_id"])
    assert len(comfy.graphs) == 6
    carry_out(world, sample(world, training, sample_set={**SET, "width": 128})["task_id"])
    assert len(comfy.graphs) == 10


def test_base_model_is_rendered_once_for_tasks_that_wait_together(world: World, training: str, comfy: ComfyServer):
    made = [sample(world, training, checkpoints=[name])["task_id"] for name in ("epoch1", "epoch2")]
    for each in made:
        carry_out(world, each)
    assert len(comfy.graphs) == 6
    assert len(samples_of(world, training, checkpoint="base")) == 2


def test_same_set_gives_the_same_pictures(world: World, training: str):
    unseeded = {**SET, "seed": None}
    first = sample(world, training, sample_set=unseeded)
    again = sample(world, training, sample_set={**unseeded, "seed": first["sampling"]["seeds"][0]})
    for made in (first, again):
        carry_out(world, made["task_id"])
    pixels = {(each["prompt"], each["sha256"]) for each in samples_of(world, training, checkpoint="epoch2")}
    assert len(pixels) == 2


def test_lora_without_effect_is_a_problem_and_no_picture(world: World, training: str):
    path = save_model(world, training, "epoch3")
    path.write_bytes(b"foreign.a foreign.b")
    carry_out(world, sample(world, training, checkpoints=["epoch3"])["task_id"])
    (found,) = samples_of(world, training, checkpoint="epoch3")
    assert "had an effect" in found["problem"]
    assert (found["url"], found["thumbnail"]) == (None, None)
    answer = world.client.get(f"{TRAINING}/{training}/samples/{found['sample_id']}/file")
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (404, "no_picture")


def test_rating_is_stored_kept_and_removed(world: World, training: str):
    made = sample(world, training)["task_id"]
    begin(world, made)
    render(world, made)
    path = f"{TRAINING}/{training}/samples/{samples_of(world, training)[0]['sample_id']}"
    for rating in (5, 0, None, 3):
        answer = world.client.patch(path, json={"rating": rating})
        assert (answer.status_code, answer.json()["data"]["rating"]) == (200, rating)
    render(world, made, "run_2")
    world.executor.ends(world.uid(made), outcome(exit_code=1))
    world.train()
    assert samples_of(world, training)[0]["rating"] == 3
    for rating in (6, -1, 1.5, "5", True):
        assert world.client.patch(path, json={"rating": rating}).status_code == 422
    assert world.client.patch(path, json={}).status_code == 422
    assert world.client.patch(f"{TRAINING}/{training}/samples/{'0' * 32}", json={"rating": 1}).status_code == 404


def test_failed_sample_is_replaced_by_a_later_picture(world: World, training: str, comfy: ComfyServer):
    comfy.script = ["oom"]
    made = sample(world, training)["task_id"]
    begin(world, made)
    render(world, made)
    found = samples_of(world, training)
    assert [each["prompt"] for each in found if each["problem"]] == ["a dog"]
    render(world, made, "run_2")
    assert [each["problem"] for each in samples_of(world, training)] == [None] * 4


def test_only_one_task_uses_comfyui_at_a_time(world: World, training: str):
    first, second = sample(world, training)["task_id"], sample(world, training)["task_id"]
    begin(world, first)
    waiting = world.get(second)
    assert (waiting["status"], waiting["waiting_reason_code"]["code"]) == ("queued", "comfyui_busy")
    world.executor.ends(world.uid(first), outcome(exit_code=1))
    world.train()
    world.train()
    assert world.get(second)["status"] == "starting"


def test_samples_and_trainings_never_share_the_gpu_of_comfyui(make_world: MakeWorld, comfy: ComfyServer):
    world = make_world(comfyui_url=comfy.url, comfyui_loras=(comfy.loras,), comfyui_gpus=("1",))
    finished = world.finish(gpu_id=0)
    save_model(world, finished, "epoch1")
    running = world.run(gpu_id=1)
    waiting = sample(world, finished)["task_id"]
    world.train()
    assert world.get(waiting)["waiting_reason_code"]["code"] == "comfyui_gpu_used"
    world.end(running)
    assert world.get(waiting)["status"] == "starting"
    # In the same round as the samples and later, no training gets that GPU; others do.
    late, other = world.start(gpu_id=1), world.start(gpu_count=3)
    world.train()
    assert (world.get(late)["status"], world.get(other)["status"]) == ("queued", "starting")
    assert "ComfyUI renders samples on it" in world.get(late)["waiting_reason"]
    world.executor.ends(world.uid(waiting), outcome(exit_code=1))
    world.train()
    world.train()
    assert world.get(late)["status"] == "starting"


def test_repeated_request_with_a_key_gets_the_same_task(world: World, training: str):
    send = lambda: world.client.post(  # noqa: E731
        f"{TRAINING}/{training}/samples", json={"sample_set": SET}, headers={"Idempotency-Key": "once"}
    )
    first, second = send(), send()
    assert first.json()["data"]["task_id"] == second.json()["data"]["task_id"]
    assert len(list(world.storage.glob("tasks/sample_*"))) == 1


def test_thumbnail_whose_address_names_the_file_is_immutable(world: World, training: str):
    made = sample(world, training)["task_id"]
    carry_out(world, made)
    found = samples_of(world, training)[0]
    assert found["media_type"] == "image/png"
    named = world.client.get(found["thumbnail"])
    assert "immutable" in named.headers["cache-control"]
    plain, _, _ = found["thumbnail"].partition("?")
    for address in (plain, f"{plain}?file={'0' * 16}"):
        assert "immutable" not in world.client.get(address).headers["cache-control"]
    assert world.client.get(f"{plain}?file=../x").status_code == 422
    # The program has stored it beside the pictures.
    assert len(list((world.output(made) / ".thumbnails").glob("*/*.jpg"))) == 4


def test_list_names_the_tasks_that_still_render(world: World, training: str):
    rendering = lambda: world.client.data(f"{TRAINING}/{training}/samples")["rendering"]  # noqa: E731
    assert rendering() == []
    made = sample(world, training)["task_id"]
    assert rendering() == [made]
    carry_out(world, made)
    assert rendering() == []


def rate(world: World, task_id: str, checkpoint: str, rating: int | None) -> None:
    for each in samples_of(world, task_id, checkpoint=checkpoint):
        answer = world.client.patch(f"{TRAINING}/{task_id}/samples/{each['sample_id']}", json={"rating": rating})
        assert answer.status_code == 200


def test_ranking_follows_the_ratings(world: World, training: str):
    path = f"{TRAINING}/{training}/samples/ranking"
    assert world.client.data(path)["models"] == []
    carry_out(world, sample(world, training, checkpoints=["epoch1", "epoch2"])["task_id"])
    assert world.client.data(path)["verdict"] == "too_few"
    rate(world, training, "epoch2", 5)
    rate(world, training, "epoch1", 0)
    found = world.client.data(path)
    first, second, last = found["models"]
    assert (first["checkpoint"], first["mean"], first["rank"], first["is_worse"]) == ("epoch2", 5, 1, None)
    assert (second["checkpoint"], second["rejected"], second["mean"], second["is_worse"]) == ("epoch1", 2, 0, False)
    assert (last["checkpoint"], last["samples"], last["rated"], last["mean"]) == (None, 2, 0, None)
    assert (found["verdict"], "not certain" in found["summary"]) == ("uncertain", True)
    # A picture that is rendered again keeps its rating until it has its own.
    carry_out(world, sample(world, training, checkpoints=["epoch2"])["task_id"])
    assert world.client.data(path) == found


def test_sheet_is_one_picture_or_one_escaped_file(world: World, training: str):
    hostile = '<script>alert(1)</script> & "dogs" \u202e ' + "x" * 500
    sample_set = {**SET, "prompts": [{"text": hostile}, {"text": "一只猫"}]}
    carry_out(world, sample(world, training, checkpoints=["epoch1", "epoch2"], sample_set=sample_set)["task_id"])
    path = f"{TRAINING}/{training}/samples/sheet"
    picture = world.client.get(path)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    with Image.open(io.BytesIO(picture.content)) as sheet:
        assert sheet.size == (150 + 2 * 264 + 8, sheet.height)
    page = world.client.get(path, params={"format": "html"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-disposition"].startswith("attachment;")
    text = page.text
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "一只猫" in text
    assert text.count("data:image/jpeg;base64,") == 6
    assert "http" not in text.replace("http-equiv", "")
    assert text.index("epoch1") < text.index("epoch2")


def test_sheet_of_some_models(world: World, training: str):
    path = f"{TRAINING}/{training}/samples/sheet"
    empty = world.client.get(path)
    assert (empty.status_code, failure_of(empty)["error"]["code"]) == (404, "no_picture")
    carry_out(world, sample(world, training, checkpoints=["epoch1", "epoch2"])["task_id"])
    found = world.client.get(path, params={"format": "html", "checkpoints": "epoch1, base"}).text
    assert ("epoch1" in found, "epoch2" in found, "Base model" in found) == (True, False, True)
    unknown = world.client.get(path, params={"checkpoints": "epoch9"})
    assert (unknown.status_code, failure_of(unknown)["data"]["checkpoints"]) == (404, ["base", "epoch1", "epoch2"])
    assert world.client.get(path, params={"format": "exe"}).status_code == 422


def test_sheet_that_would_be_too_large_is_a_conflict(world: World, training: str, monkeypatch: pytest.MonkeyPatch):
    carry_out(world, sample(world, training)["task_id"])
    path = f"{TRAINING}/{training}/samples/sheet"
    for limit, form in (("MOST_PICTURES", "png"), ("MOST_PIXELS", "png"), ("MOST_BYTES", "html")):
        with monkeypatch.context() as patch:
            patch.setattr(sample_sheet, limit, 3)
            answer = world.client.get(path, params={"format": form})
        assert (answer.status_code, failure_of(answer)["error"]["code"]) == (409, "sheet_too_large")
        assert "checkpoints" in failure_of(answer)["error"]["detail"]


# -- rejected --------------------------------------------------------------------------------------------------------


def test_missing_settings_models_and_workflows_are_conflicts(make_world: MakeWorld, world: World, training: str):
    assert rejected(world, training, sample_set={**SET, "workflow": None})["code"] == "no_workflow"
    assert rejected(world, world.finish())["code"] == "no_saved_model"
    assert rejected(world, training, 404, checkpoints=["epoch9"])["code"] == "checkpoint_not_found"
    assert rejected(world, training, 404, checkpoints=["global_step999"])["code"] == "checkpoint_not_found"
    assert rejected(world, training, 404, checkpoints=["../../etc"])["code"] == "checkpoint_not_found"
    assert rejected(world, "train_20260101_00000000", 404)["code"] == "task_not_found"
    assert rejected(world, sample(world, training)["task_id"], 404)["code"] == "task_not_found"


def test_service_without_comfyui_names_the_missing_settings(make_world: MakeWorld):
    world = make_world()
    error = rejected(world, world.finish())
    assert error["code"] == "sampling_unavailable"
    assert "COMFYUI_URL" in error["detail"]


@pytest.mark.parametrize(
    ("pointer", "body"),
    [
        ("/sample_set/prompts", {"prompts": []}),
        ("/sample_set/prompts", {"prompts": [{"text": "x"}] * 65}),
        ("/sample_set/prompts/0/text", {"prompts": [{"text": "x" * 10_001}]}),
        ("/sample_set/prompts/0/text", {"prompts": [{"text": "\0"}]}),
        ("/sample_set/prompts/0/seed", {"prompts": [{"text": "x", "seed": 2**53}]}),
        ("/sample_set/width", {"width": 100_000}),
        ("/sample_set/frames", {"frames": 0}),
        ("/sample_set/strength", {"strength": 1e9}),
        ("/sample_set/workflow", {"workflow": {"nodes": []}}),
        ("/sample_set/workflow", {"workflow": {}}),
        ("/sample_set/workflow", {"workflow": {str(n): WORKFLOW["text"] for n in range(501)}}),
        ("/sample_set/workflow", {"workflow": {"a": {"class_type": "SaveImage", "inputs": {}}}}),
        ("/sample_set/workflow", {"workflow": {"a": {"class_type": "X", "inputs": {"b": ["no such node", 0]}}}}),
        ("/sample_set/workflow", {"workflow": {"a": json.loads("[" * 40 + "]" * 40)}}),
    ],
)
def test_hostile_sets_are_rejected_at_their_pointer(world: World, training: str, pointer: str, body: dict[str, Any]):
    error = rejected(world, training, 422, sample_set={**SET, **body})
    assert {each["pointer"] for each in error["errors"]} == {pointer}


def test_workflow_with_a_foreign_node_fails_before_anything_is_rendered(
    world: World, training: str, comfy: ComfyServer
):
    fetcher = {"class_type": "FetchURL", "inputs": {"url": "169.254.169.254"}}
    made = sample(world, training, sample_set={**SET, "workflow": {**WORKFLOW, "x": fetcher}})["task_id"]
    begin(world, made)
    assert render(world, made) != 0
    assert comfy.graphs == []


def test_link_in_the_place_of_a_saved_model_is_not_followed(world: World, training: str, tmp_path: Path):
    path = save_model(world, training, "epoch4")
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert rejected(world, training, 404, checkpoints=["epoch4"])["code"] == "checkpoint_not_found"


# -- choosing and deleting -------------------------------------------------------------------------------------------


def test_chosen_model_is_shown_and_taken_back(world: World, training: str):
    path = f"{TRAINING}/{training}/chosen"
    answer = world.client.put(path, json={"checkpoint": "epoch1"})
    assert (answer.status_code, answer.json()["data"]["chosen"]) == (200, "epoch1")
    assert world.client.data(f"{TRAINING}/list")["tasks"][0]["chosen"] == "epoch1"
    assert world.client.put(path, json={"checkpoint": "epoch9"}).status_code == 404
    assert world.client.put(path, json={"checkpoint": "global_step1"}).status_code == 404
    assert world.client.delete(path).json()["data"]["chosen"] is None
    assert world.client.delete(path).status_code == 200
    messages = [each["message"] for each in world.client.data(f"{TRAINING}/{training}/events")["events"]]
    assert messages[-2:] == ["epoch1 is the chosen model", "epoch1 is no longer the chosen model"]


def test_deleted_training_loses_its_samples_and_their_files(world: World, training: str):
    made = sample(world, training)["task_id"]
    answer = world.client.delete(f"{TRAINING}/{training}")
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (409, "task_not_finished")
    carry_out(world, made)
    assert world.client.delete(f"{TRAINING}/{training}").status_code == 200
    assert world.client.get(f"{TRAINING}/{made}").status_code == 404
    assert not (world.storage / "tasks" / made).exists()


def test_refused_deletion_of_a_training_keeps_its_samples(world: World, training: str, monkeypatch: pytest.MonkeyPatch):
    carry_out(world, sample(world, training)["task_id"])

    def refuse(*given: Any) -> None:
        raise CacheInUse

    monkeypatch.setattr("api.training.records.task_store.require_unused", refuse)
    before = samples_of(world, training)
    assert world.client.delete(f"{TRAINING}/{training}?files=true").status_code == 409
    assert samples_of(world, training) == before
    assert world.client.get(before[0]["url"]).status_code == 200


def test_deleted_sampling_task_loses_its_samples_only(world: World, training: str):
    first, second = (sample(world, training)["task_id"] for _ in range(2))
    for made in (first, second):
        carry_out(world, made)
    assert world.client.delete(f"{TRAINING}/{first}").status_code == 200
    assert {each["sampling_id"] for each in samples_of(world, training)} == {second}
    assert not (world.storage / "tasks" / first).exists()


def test_sampling_cannot_be_resumed_or_restarted(world: World, training: str):
    made = sample(world, training)["task_id"]
    for action in ("resume", "restart"):
        assert world.client.post(f"{TRAINING}/{action}/{made}").status_code == 409


def test_samples_follow_the_visibility_of_their_training(make_world: MakeWorld, comfy: ComfyServer):
    team = make_world(
        auth="required", visibility="own", rate_limits=(), comfyui_url=comfy.url, comfyui_loras=(comfy.loras,)
    )
    ann, bob, admin = team.signed_in("ann"), team.signed_in("bob"), team.signed_in("root", "admin")
    task_id = ann.finish()
    save_model(ann, task_id, "epoch1")
    made = sample(admin, task_id)["task_id"]
    assert ann.get(made)["owner"] == "ann"
    carry_out(ann, made)
    found = samples_of(ann, task_id)[0]
    path = f"{TRAINING}/{task_id}/samples"
    assert rejected(bob, task_id, 404)["code"] == "task_not_found"
    for answer in (
        bob.client.get(path),
        bob.client.get(found["url"]),
        bob.client.get(found["thumbnail"]),
        bob.client.patch(f"{path}/{found['sample_id']}", json={"rating": 1}),
        bob.client.put(f"{TRAINING}/{task_id}/chosen", json={"checkpoint": "epoch1"}),
        bob.client.get(f"{TRAINING}/{made}"),
    ):
        assert answer.status_code == 404
    other = bob.finish()
    assert bob.client.get(f"{TRAINING}/{other}/samples/{found['sample_id']}/file").status_code == 404


def test_library_takes_the_samples_of_a_model_with_it_the_best_first(world: World, training: str):
    carry_out(world, sample(world, training, checkpoints=["epoch1", "epoch2"])["task_id"])
    rated = {each["prompt"]: each for each in samples_of(world, training, checkpoint="epoch2")}
    path = f"{TRAINING}/{training}/samples"
    world.client.patch(f"{path}/{rated['a cat']['sample_id']}", json={"rating": 5})
    body = {"task_id": training, "artifact": f"{RUN_DIR}/epoch2/{FILE}", "name": "dogs"}
    assert world.client.post("/api/v1/models/registry", json=body).json()["data"]["samples"] == 2
    listed = "/api/v1/models/registry/dogs/versions/{}/samples"
    found = world.client.data(listed.format(1))["samples"]
    assert [(each["prompt"], each["seed"]) for each in found] == [("a cat", "7"), ("a dog", "1")]
    assert world.client.get(found[0]["file"]).content == world.client.get(rated["a cat"]["url"]).content
    world.client.patch(f"{path}/{rated['a dog']['sample_id']}", json={"rating": 0})
    world.client.post("/api/v1/models/registry", json=body)
    assert [each["prompt"] for each in world.client.data(listed.format(2))["samples"]] == ["a cat"]


def test_model_that_was_deleted_meanwhile_cannot_be_chosen_or_sampled(
    world: World, training: str, monkeypatch: pytest.MonkeyPatch
):
    """The files are checked again when the training is locked."""
    store = world.runtime.services.training.service._tasks
    choose = store.choose

    def delete_first(*arguments: Any) -> Any:
        world.runtime.services.training.retention.put(training, RetentionRule(keep_last=1), "ann")
        return choose(*arguments)

    monkeypatch.setattr(store, "choose", delete_first)
    refused = world.client.put(f"{TRAINING}/{training}/chosen", json={"checkpoint": "epoch1"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "checkpoint_not_found")
    assert world.get(training)["chosen"] is None
