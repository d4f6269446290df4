"""Rehearsals with the toy: their figures, their failures, and that they leave no files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import BASE, until
from tests.e2e.shelves import Shelf, png
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG, TrainingServer

PICTURES = {f"{seed}.png": png(seed) for seed in range(6)}
DATASET = {"directories": [{"dataset": "cats"}]}
PARTIAL = {"fail_at_step": 3, "fail_with": "cuda_oom"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    with TrainingServer(tmp_path_factory.mktemp("rehearsals"), REHEARSAL_SECONDS="12") as started:
        shelf = Shelf(started.root)
        shelf.put("cats", [shelf.store(name, content, "a cat") for name, content in PICTURES.items()])
        shelf.close()
        yield started


@pytest.fixture(autouse=True)
def _leave_nothing_behind(server: TrainingServer) -> Iterator[None]:
    yield
    server.make_idle()


def rehearse(server: TrainingServer, steps: int = 500, **request: Any) -> str:
    return str(server.post("/training/rehearse", 202, json=toy(steps, **request))["task_id"])


def await_end(server: TrainingServer, task_id: str, status: str) -> dict[str, Any]:
    """Wait until a rehearsal has ended and its files are removed; return it."""
    task = server.await_status(task_id, status)
    until(lambda: left(server, task_id) == {"attempts", "log"}, LONG, "the removal of its files")
    return task


def left(server: TrainingServer, task_id: str) -> set[str]:
    return {path.name for path in (server.root / "tasks" / task_id).iterdir()}


def test_rehearsal_of_a_dataset_predicts_the_training_that_follows(server: TrainingServer):
    body = toy(30, 2, step_seconds=0.2, dataset=DATASET, max_retries=2)
    task_id = str(server.post("/training/rehearse", 202, json=body)["task_id"])
    task = await_end(server, task_id, "completed")
    found, (item, other) = task["rehearsal"], task["plan"]["rehearsal"]["items"]
    assert task_id.startswith("rehearse_")
    assert (task["kind"], task["attempt_count"], item["name"], other["name"]) == ("rehearse", 1, "0.png", "1.png")
    assert (found["steps"], found["total_steps"], found["problem"]) == (8, 60, None)
    assert found["seconds_per_step"] == pytest.approx(0.2, rel=0.2)
    assert found["estimated_duration"] == pytest.approx(60 * 0.2, rel=0.4)
    assert list(found["peak_memory_mb"].values()) == [None]  # the GPUs are simulated
    assert found["saved_model_bytes"] > 1000
    log = server.log_of(task_id)
    assert (log.count("Saving model"), "epoch1" in log) == (1, True)
    # The page starts the training with the request that was rehearsed.
    request = {name: value for name, value in task["request"].items() if value is not None}
    assert (request["config"], request["max_retries"]) == (body["config"], 2)
    started = server.start_task(body)
    trained = server.await_status(started, "completed")
    assert trained["plan"]["total_steps"] == found["total_steps"]
    assert trained["speed"]["time_per_step"] == pytest.approx(found["seconds_per_step"], rel=0.2)
    assert trained["rehearsal"] is None


def test_failed_rehearsal_names_cause_and_remedy_and_is_not_retried(server: TrainingServer):
    task_id = rehearse(server, knobs=PARTIAL, max_retries=3, retry_on=["cuda_out_of_memory"])
    task = await_end(server, task_id, "failed")
    problem = task["rehearsal"]["problem"]
    assert (task["attempt_count"], problem["code"], problem) == (1, "cuda_out_of_memory", task["failure"])
    assert "micro_batch_size_per_gpu" in problem["remedy"]
    assert (task["rehearsal"]["steps"], task["rehearsal"]["estimated_duration"] > 20) == (2, True)


def test_rehearsal_ends_at_its_time_limit(server: TrainingServer):
    task = await_end(server, rehearse(server, knobs={"hang_in": "caching"}), "failed")
    assert (task["failure"]["code"], "REHEARSAL_SECONDS" in task["failure"]["remedy"]) == ("time_limit", True)
    assert (task["rehearsal"]["steps"], task["rehearsal"]["seconds_per_step"]) == (None, None)


def test_rehearsal_is_cancelled_and_cannot_be_resumed(server: TrainingServer):
    task_id = rehearse(server, step_seconds=1.0, dataset=DATASET)
    server.await_step(task_id, 2)
    assert [row["task_id"] for row in server.get("/training/list?kind=rehearse&status=running")["tasks"]] == [task_id]
    assert task_id not in [row["task_id"] for row in server.get("/training/list")["tasks"]]
    server.stop_task(task_id)
    await_end(server, task_id, "stopped")
    refused = server.client.post(f"{BASE}/training/resume/{task_id}", json={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "no_checkpoint")


def test_killed_server_leaves_no_files_of_a_rehearsal(server: TrainingServer):
    task_id = rehearse(server, step_seconds=0.5, dataset=DATASET)
    server.await_step(task_id, 2)
    server.kill()
    server.start()
    task = await_end(server, task_id, "completed")
    assert (task["attempt_count"], task["rehearsal"]["steps"]) == (1, 8)
    # The server may also be killed after the end, before the files are removed.
    server.kill()
    (server.root / "tasks" / task_id / "output" / "20250101_00-00-00").mkdir(parents=True)
    (server.root / "tasks" / task_id / "datasets").symlink_to("/")
    server.start()
    await_end(server, task_id, "completed")
    assert Path("/etc").is_dir()


def test_rehearsal_with_a_prebuilt_cache_neither_uses_nor_changes_it(server: TrainingServer):
    body = toy(30, dataset=DATASET)
    cache = str(server.post("/training/cache", 201, json=body)["task_id"])
    server.await_status(cache, "completed")
    task_id = str(server.post("/training/rehearse", 202, json=body)["task_id"])
    task = await_end(server, task_id, "completed")
    found = task["rehearsal"]
    assert (task["plan"]["rehearsal"]["is_cached"], found["caching_seconds"], found["cache_bytes"]) == (True, 0, 0)
    assert f"tasks/{task_id}/datasets/0/media" in task["plan"]["files"]["dataset.toml"]
    (known,) = server.get("/datasets/cats/caches")["caches"]
    assert (known["task_id"], known["state"]) == (cache, "complete")
    until(lambda: server.client.delete(f"{BASE}/training/{cache}").status_code == 200, LONG, "its GPU")


def test_two_rehearsals_of_one_dataset_run_at_once(server: TrainingServer):
    both = [rehearse(server, step_seconds=0.5, gpus=[gpu], dataset=DATASET) for gpu in (0, 1)]
    until(lambda: [server.task(each)["status"] for each in both] == ["running", "running"], LONG, "both running")
    assert [await_end(server, each, "completed")["rehearsal"]["steps"] for each in both] == [8, 8]


def test_deleted_rehearsal_leaves_nothing(server: TrainingServer):
    task_id = rehearse(server)
    server.await_status(task_id, "completed")
    until(lambda: server.client.delete(f"{BASE}/training/{task_id}").status_code == 200, LONG, "its GPU")
    assert not (server.root / "tasks" / task_id).exists()


def test_invalid_request_is_refused_as_for_a_training(server: TrainingServer):
    for body in ({}, {"model_type": "toy"}, toy(3, knobs={"no_such": 1}), toy(3, dataset={"directories": []})):
        said = [server.client.post(f"{BASE}/training/{path}", json=body) for path in ("start", "rehearse")]
        assert [each.status_code for each in said] == [422, 422], body
        assert said[0].json()["error"]["errors"] == said[1].json()["error"]["errors"]
