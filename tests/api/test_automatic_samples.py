"""Automatic samples: exactly one task per due saved model, whatever fails, and changes while a training runs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.executors.fake import outcome
from tests.api.client import failure_of
from tests.api.conftest import TRAINING, MakeWorld, World
from tests.api.test_training_samples import begin, carry_out, render, sample, samples_of, save_model
from tests.comfyui_server import WORKFLOW, ComfyServer, comfy_server

pytestmark = pytest.mark.usefixtures("shared_decoder")

SETS, WORKFLOWS = "/api/v1/sample-sets", "/api/v1/workflows"
PROMPTS = [{"text": "a dog"}]


@pytest.fixture
def comfy(tmp_path: Path) -> Iterator[ComfyServer]:
    with comfy_server(tmp_path / "loras") as server:
        yield server


@pytest.fixture
def world(make_world: MakeWorld, comfy: ComfyServer) -> World:
    world = make_world(comfyui_url=comfy.url, comfyui_loras=(comfy.loras,))
    save_set(world)
    return world


def save_set(world: World, **fields: Any) -> None:
    body = {"name": "Toy", "model_type": "toy", "workflow": WORKFLOW}
    workflow = world.client.post(WORKFLOWS, json=body).json()["data"]["workflow_id"]
    made = world.client.post(SETS, json={"name": "dogs", "prompts": PROMPTS, "workflow": workflow, **fields})
    assert made.status_code == 201, made.text


def look(world: World, times: int = 2) -> None:
    """Let the service look for saved models. The second look finds that a file is complete."""
    for _ in range(times):
        world.runtime._training.automatic.run_once()


def samplings(world: World) -> list[tuple[str, list[str]]]:
    """The tasks, oldest first, each with the models that it renders."""
    rows = world.client.data(f"{TRAINING}/list?kind=sample")["tasks"]
    return [(row["task_id"], world.get(row["task_id"])["sampling"]["checkpoints"]) for row in reversed(rows)]


def warnings(world: World, task_id: str) -> list[str]:
    events = world.client.data(f"{TRAINING}/{task_id}/events")["events"]
    return [each["message"] for each in events if each["type"] == "warning"]


def running(world: World, **fields: Any) -> str:
    return world.run(samples={"sample_set": "dogs", **fields})


def test_each_saved_model_is_rendered_once(world: World):
    task_id = running(world)
    assert world.get(task_id)["samples"]["sample_set"] == "dogs"
    assert world.get(task_id)["request"]["samples"]["sample_set"] == "dogs@1"
    save_model(world, task_id, "epoch1", "first")
    look(world, 1)
    assert samplings(world) == []
    look(world, 3)
    [(first, names)] = samplings(world)
    assert names == ["epoch1"]
    carry_out(world, first)
    save_model(world, task_id, "epoch2", "second")
    look(world, 3)
    assert [names for _, names in samplings(world)] == [["epoch1"], ["epoch2"]]
    assert {each["checkpoint"] for each in samples_of(world, task_id)} == {None, "epoch1"}


def test_models_of_a_finished_training_are_rendered_after_a_restart(world: World, make_world: MakeWorld):
    task_id = running(world)
    save_model(world, task_id, "epoch1")
    world.end(task_id)
    look(world, 4)
    # A deleted task is not created again.
    [(first, _)] = samplings(world)
    world.client.post(f"{TRAINING}/{first}/stop", json={"force": True})
    assert world.client.delete(f"{TRAINING}/{first}").status_code == 200
    look(world, 3)
    assert samplings(world) == []


def test_task_that_was_created_before_a_kill_is_found_again(world: World, monkeypatch: pytest.MonkeyPatch):
    task_id = running(world)
    save_model(world, task_id, "epoch1")
    with monkeypatch.context() as killed:
        killed.setattr("api.training.records.automatic_sample_store.SampleOrderStore.note_sampling", lambda *args: None)
        look(world, 3)
    look(world, 3)
    assert len(samplings(world)) == 1


def test_incomplete_and_exported_models_are_left_out(world: World):
    task_id = running(world)
    path = save_model(world, task_id, "epoch1")
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    save_model(world, task_id, "step7").with_name(".exported.json").write_text("{}")
    look(world, 3)
    assert samplings(world) == []
    path.write_bytes(whole)
    look(world, 2)
    assert [names for _, names in samplings(world)] == [["epoch1"]]


def test_every_second_model(world: World):
    task_id = running(world, every=2)
    for number in range(1, 6):
        save_model(world, task_id, f"epoch{number}")
        look(world)
    assert [names for _, names in samplings(world)] == [["epoch2"], ["epoch4"]]


def test_samples_begin_change_and_end_while_it_runs(world: World):
    task_id = world.run()
    old = save_model(world, task_id, "epoch1")
    os.utime(old, (1, 1))
    path = f"{TRAINING}/{task_id}"
    changed = world.client.patch(path, json={"samples": {"sample_set": "dogs"}})
    assert changed.json()["data"]["samples"] == {
        "sample_set": "dogs", "version": 1, "every": 1, "trigger": None, "problem": None, "problem_code": None,
    }  # fmt: skip
    save_model(world, task_id, "epoch2")
    look(world)
    world.client.patch(f"{SETS}/dogs", json={"prompts": [{"text": "a cat"}]})
    world.client.patch(path, json={"samples": {"sample_set": "dogs"}, "name": "x"})
    save_model(world, task_id, "epoch3")
    look(world)
    assert [names for _, names in samplings(world)] == [["epoch2"], ["epoch3"]]
    assert world.client.patch(path, json={"samples": None}).json()["data"]["samples"] is None
    save_model(world, task_id, "epoch4")
    look(world)
    assert len(samplings(world)) == 2
    messages = [each["message"] for each in world.client.data(f"{path}/events")["events"] if each["type"] == "change"]
    assert messages == [
        "dogs@1 is rendered with every saved model",
        "name is now 'x'; dogs@2 is rendered with every saved model",
        "no samples are rendered automatically any more",
    ]


def test_deleted_set_stays_with_its_trainings_and_their_restarts(world: World):
    task_id = running(world, every=1)
    world.client.delete(f"{SETS}/dogs")
    world.end(task_id)
    again = world.client.post(f"{TRAINING}/restart/{task_id}").json()["data"]
    assert (again["samples"]["sample_set"], again["samples"]["version"]) == ("dogs", 1)
    world.run(again["task_id"])
    save_model(world, again["task_id"], "epoch1")
    look(world)
    assert [names for _, names in samplings(world)] == [["epoch1"]]
    assert world.client.delete(f"{TRAINING}/{task_id}").status_code == 200


def test_samples_keep_their_prompts_when_the_name_of_their_set_means_another(world: World):
    task_id = running(world)
    world.client.delete(f"{SETS}/dogs")
    world.client.post(SETS, json={"name": "dogs", "prompts": [{"text": "another dog"}]})
    changed = world.client.patch(f"{TRAINING}/{task_id}", json={"samples": {"sample_set": "dogs@1", "every": 2}})
    assert changed.json()["data"]["samples"]["every"] == 2
    stored = world.runtime.services.training.details.find_order(task_id)
    assert stored is not None
    assert [each.text for each in stored.spec.settings.prompts] == [each["text"] for each in PROMPTS]


def test_comfyui_that_is_away_is_one_warning_and_missed_models_follow(make_world: MakeWorld, tmp_path: Path):
    with comfy_server(tmp_path / "loras") as comfy:
        url, port = comfy.url, int(comfy.url.rpartition(":")[2])
    world = make_world(comfyui_url=url, comfyui_loras=(comfy.loras,))
    save_set(world)
    task_id = running(world)
    for number in (1, 2):
        save_model(world, task_id, f"epoch{number}", str(number))
        look(world, 3)
    assert samplings(world) == []
    [warning] = warnings(world, task_id)
    assert "no ComfyUI of COMFYUI_URL answers" in warning
    assert world.get(task_id)["samples"]["problem"] == warning
    assert world.get(task_id)["status"] == "running"
    with comfy_server(tmp_path / "loras", port=port):
        look(world)
        assert [names for _, names in samplings(world)] == [["epoch1"], ["epoch2"]]
        assert world.get(task_id)["samples"]["problem"] is None
    assert len(warnings(world, task_id)) == 1


def test_task_that_found_no_comfyui_is_repeated_and_another_failure_is_not(world: World, comfy: ComfyServer):
    task_id = running(world)
    save_model(world, task_id, "epoch1")
    look(world)
    [(first, _)] = samplings(world)
    fail(world, first, "network")
    look(world)
    assert world.get(first)["status"] == "queued"
    assert warnings(world, task_id) == []
    fail(world, first, "trainer_error")
    look(world, 3)
    assert world.get(first)["status"] == "failed"
    [warning] = warnings(world, task_id)
    assert "no samples of epoch1: ComfyUI is tired" in warning
    save_model(world, task_id, "epoch2")
    look(world)
    carry_out(world, samplings(world)[1][0])
    look(world)
    assert world.get(task_id)["samples"]["problem"] is None


def fail(world: World, sampling_id: str, cause: str) -> None:
    begin(world, sampling_id)
    world.prints(sampling_id, f'{{"dp": "failed", "cause": "{cause}", "message": "ComfyUI is tired."}}\n')
    world.executor.ends(world.uid(sampling_id), outcome(exit_code=1))
    world.train()
    assert world.get(sampling_id)["status"] == "failed"


# -- rejected --------------------------------------------------------------------------------------------------------


def refused(world: World, **fields: Any) -> list[str]:
    body = {"model_type": "toy", "config": {"epochs": 3}, "samples": {"sample_set": "dogs"}, **fields}
    answer = world.client.post(f"{TRAINING}/start", json=body)
    assert answer.status_code == 422, answer.text
    return [each["pointer"] for each in failure_of(answer)["error"]["errors"]]


def test_unusable_samples_are_refused_at_the_start(world: World, make_world: MakeWorld):
    assert refused(world, samples={"sample_set": "cats"}) == ["/samples/sample_set"]
    assert refused(world, samples={"sample_set": "dogs@2"}) == ["/samples/sample_set"]
    assert refused(world, samples={"sample_set": "dogs", "every": 0}) == ["/samples/every"]
    world.client.patch(f"{SETS}/dogs", json={"workflow": None})
    assert refused(world) == ["/samples/sample_set"]
    task_id = world.run()
    answer = world.client.patch(f"{TRAINING}/{task_id}", json={"samples": {"sample_set": "dogs"}})
    assert failure_of(answer)["error"]["errors"][0]["pointer"] == "/samples/sample_set"
    assert refused(make_world()) == ["/samples"]


# -- trigger words ---------------------------------------------------------------------------------------------------


def test_trigger_word_is_filled_in(world: World):
    body = {"prompts": [{"text": "{trigger} runs", "negative": "no {trigger}"}]}
    world.client.patch(f"{SETS}/dogs", json=body)
    assert refused(world) == ["/samples/trigger"]
    task_id = running(world, trigger="ohwx dog")
    save_model(world, task_id, "epoch1")
    look(world)
    [(made, _)] = samplings(world)
    begin(world, made)
    render(world, made)
    assert {(each["prompt"], each["negative"]) for each in samples_of(world, task_id)} == {
        ("ohwx dog runs", "no ohwx dog")
    }
    answer = world.client.post(f"{TRAINING}/{task_id}/samples", json={"sample_set": "dogs"})
    assert failure_of(answer)["error"]["errors"][0]["pointer"] == "/trigger"
    assert sample(world, task_id, sample_set="dogs@1")["sampling"]["seeds"] == [1]


def test_trigger_word_of_the_training_is_filled_in(world: World):
    world.client.patch(f"{SETS}/dogs", json={"prompts": [{"text": "{trigger} runs"}]})
    task_id = world.run(samples={"sample_set": "dogs"}, trigger_word="sks dog")
    save_model(world, task_id, "epoch1")
    look(world)
    [(made, _)] = samplings(world)
    begin(world, made)
    render(world, made)
    assert {each["prompt"] for each in samples_of(world, task_id)} == {"sks dog runs"}
    other = world.run()
    changes = {"samples": {"sample_set": "dogs"}, "trigger_word": "sks cat"}
    assert world.client.patch(f"{TRAINING}/{other}", json=changes).status_code == 200


# -- checkpoints -----------------------------------------------------------------------------------------------------


def test_checkpoint_is_exported_and_then_rendered(world: World):
    task_id = world.run()
    world.make_checkpoints(task_id, 10)
    made = sample(world, task_id, sample_set="dogs", checkpoints=["global_step10"])
    assert made["sampling"]["checkpoints"] == ["step10"]
    [export] = world.client.data(f"{TRAINING}/list?kind=export")["tasks"]
    begin(world, made["task_id"])
    save_model(world, task_id, "step10").with_name(".exported.json").write_text("{}")
    render(world, made["task_id"])
    assert {each["checkpoint"] for each in samples_of(world, task_id)} == {None, "step10"}
    assert export["status"] == "queued"
