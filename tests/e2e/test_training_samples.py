"""Samples of trainings under a real server, its supervisors and the program, with a stand-in for ComfyUI."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.comfyui_server import WORKFLOW, ComfyServer, comfy_server
from tests.e2e.server import BASE, until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG, TrainingServer

PROMPTS = [{"text": f"prompt {number}"} for number in range(4)]


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with comfy_server(tmp_path_factory.mktemp("comfy") / "loras") as started:
        yield started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, comfy: ComfyServer) -> Iterator[TrainingServer]:
    settings = {"COMFYUI_URL": comfy.url, "COMFYUI_LORAS": str(comfy.loras)}
    with TrainingServer(tmp_path_factory.mktemp("samples") / "server", **settings) as started:
        yield started


@pytest.fixture(scope="module")
def training(server: TrainingServer) -> str:
    """A completed training with two saved models."""
    task_id = server.start_task(toy(5, 2, every=None, step_seconds=0.01))
    server.await_status(task_id, "completed")
    return task_id


@pytest.fixture(autouse=True)
def _as_at_the_start(comfy: ComfyServer) -> Iterator[None]:
    nodes = dict(comfy.nodes)
    yield
    comfy.nodes, comfy.prompt_seconds, comfy.script = nodes, 0.0, []
    assert list(comfy.loras.iterdir()) == []


def sample(server: TrainingServer, task_id: str, seed: int, **body: Any) -> str:
    sample_set = {"prompts": PROMPTS, "seed": seed, "workflow": WORKFLOW}
    return str(server.post(f"/training/{task_id}/samples", 202, json={"sample_set": sample_set, **body})["task_id"])


def samples_of(server: TrainingServer, task_id: str, sampling_id: str) -> list[dict[str, Any]]:
    found = server.get(f"/training/{task_id}/samples", params={"limit": "500"})["samples"]
    return [each for each in found if each["sampling_id"] == sampling_id]


def await_samples(server: TrainingServer, task_id: str, sampling_id: str, number: int) -> None:
    until(lambda: len(samples_of(server, task_id, sampling_id)) >= number, LONG, f"{number} samples")


def test_samples_of_both_models_and_of_the_base_model(server: TrainingServer, training: str):
    made = sample(server, training, 1, checkpoints=["epoch1", "epoch2"])
    task = server.await_status(made, "completed")
    assert (task["kind"], task["progress"]["overall_progress"]) == ("sample", 100.0)
    found = samples_of(server, training, made)
    assert {(each["checkpoint"], each["prompt_index"]) for each in found} == {
        (name, index) for name in (None, "epoch1", "epoch2") for index in range(4)
    }
    assert {each["problem"] for each in found} == {None}
    assert len({each["sha256"] for each in found}) == 12
    for each in found:
        assert server.client.get(each["url"]).content.startswith(b"\x89PNG")
    assert server.client.get(found[0]["thumbnail"]).headers["content-type"] == "image/jpeg"
    assert "12 of 12 samples" in server.log_of(made)


def test_stop_in_the_middle_keeps_what_was_rendered(server: TrainingServer, training: str, comfy: ComfyServer):
    comfy.prompt_seconds = 0.5
    made = sample(server, training, 2)
    await_samples(server, training, made, 2)
    server.stop_task(made)
    server.await_status(made, "stopped")
    found = samples_of(server, training, made)
    assert 2 <= len(found) < 8


def test_killed_server_loses_no_sample_and_renders_none_twice(
    server: TrainingServer, training: str, comfy: ComfyServer
):
    comfy.prompt_seconds, before = 0.3, len(comfy.graphs)
    made = sample(server, training, 3)
    await_samples(server, training, made, 2)
    server.kill()
    server.start()
    server.await_status(made, "completed")
    assert len(samples_of(server, training, made)) == 8
    assert len(comfy.graphs) - before == 8


def test_restarted_comfyui_gets_its_prompt_again(server: TrainingServer, training: str, comfy: ComfyServer):
    comfy.prompt_seconds = 0.3
    made = sample(server, training, 4)
    await_samples(server, training, made, 1)
    comfy.restart()
    server.await_status(made, "completed")
    assert {each["problem"] for each in samples_of(server, training, made)} == {None}


def test_missing_node_is_the_cause_of_the_failure(server: TrainingServer, training: str, comfy: ComfyServer):
    del comfy.nodes["VAEDecode"]
    made = sample(server, training, 5)
    task = server.await_status(made, "failed")
    assert "ComfyUI has no node VAEDecode" in task["failure"]["detail"]
    assert samples_of(server, training, made) == []


def test_failed_prompt_is_a_problem_of_its_sample_only(server: TrainingServer, training: str, comfy: ComfyServer):
    comfy.script = ["render", "oom"]
    made = sample(server, training, 6)
    server.await_status(made, "completed")
    problems = [each["problem"] for each in samples_of(server, training, made) if each["problem"]]
    assert len(problems) == 1
    assert "out of memory" in problems[0]


def test_deleted_training_takes_its_samples_along(server: TrainingServer):
    task_id = server.start_task(toy(5, every=None, step_seconds=0.01))
    server.await_status(task_id, "completed")
    made = sample(server, task_id, 7)
    server.await_status(made, "completed")
    assert server.client.delete(f"{BASE}/training/{task_id}").status_code == 200
    assert not (server.root / "tasks" / made).exists()
    assert server.client.get(f"{BASE}/training/{made}").status_code == 404


def test_comfyui_that_is_away_is_awaited_until_a_stop(tmp_path: Path):
    with contextlib.ExitStack() as stack:
        with comfy_server(tmp_path / "loras") as gone:
            settings = {"COMFYUI_URL": gone.url, "COMFYUI_LORAS": str(gone.loras)}
        server = stack.enter_context(TrainingServer(tmp_path / "server", **settings))
        task_id = server.start_task(toy(5, every=None, step_seconds=0.01))
        server.await_status(task_id, "completed")
        made = sample(server, task_id, 8)
        until(lambda: "tries again" in server.log_of(made), LONG, "a warning")
        until(lambda: server.task(made)["warnings"], LONG, "the warning among its details")
        server.stop_task(made)
        server.await_status(made, "stopped")


@pytest.fixture(scope="module")
def sample_set(server: TrainingServer) -> str:
    body = {"name": "Toy", "model_type": "toy", "workflow": WORKFLOW}
    workflow = server.post("/workflows", 201, json=body)["workflow_id"]
    made = {"name": "dogs", "prompts": PROMPTS[:1], "workflow": workflow}
    return str(server.post("/sample-sets", 201, json=made)["name"])


def rendered(server: TrainingServer, task_id: str) -> list[str]:
    """The models of every sampling task of a training."""
    rows = server.get("/training/list", params={"kind": "sample"})["tasks"]
    found = [server.task(row["task_id"])["sampling"] for row in rows]
    return sorted(name for each in found if each["task_id"] == task_id for name in each["checkpoints"])


def test_saved_models_are_rendered_once_though_the_server_is_killed(server: TrainingServer, sample_set: str):
    request = {**toy(5, 3, every=None, step_seconds=0.5), "samples": {"sample_set": sample_set}}
    task_id = server.start_task(request)
    until(lambda: rendered(server, task_id)[:1] == ["epoch1"], LONG, "a task for the first model")
    server.kill()
    server.start()
    server.await_status(task_id, "completed")
    names = ["epoch1", "epoch2", "epoch3"]
    until(lambda: rendered(server, task_id) == names, LONG, "a task for each model")
    found = lambda: {  # noqa: E731
        each["checkpoint"] for each in server.get(f"/training/{task_id}/samples")["samples"] if not each["problem"]
    }
    until(lambda: found() == {None, *names}, LONG, "samples of each model")
    assert rendered(server, task_id) == names


def test_checkpoint_is_exported_and_rendered(server: TrainingServer):
    task_id = server.start_task({**toy(5, every=2, step_seconds=0.01)})
    server.await_status(task_id, "completed")
    name = server.get(f"/training/{task_id}/checkpoints")["checkpoints"][0]["name"]
    made = sample(server, task_id, 9, checkpoints=[name])
    server.await_status(made, "completed")
    assert {each["problem"] for each in samples_of(server, task_id, made)} == {None}
    assert len(samples_of(server, task_id, made)) == 8
