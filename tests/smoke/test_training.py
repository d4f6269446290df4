"""A training from validation to deletion; invalid requests start nothing."""

import time
from typing import Any

import pytest

from tests.smoke.service import BASE, Service

TOY: dict[str, Any] = {
    "model_type": "toy",
    "name": "smoke test",
    "gpu_count": 1,
    "config": {"epochs": 1, "toy": {"steps_per_epoch": 30, "step_seconds": 0.02, "checkpoint_every_n_steps": 10}},
}
FINISHED = ("completed", "failed", "stopped")


@pytest.fixture
def running(service: Service, writing: None):
    """A running toy training, which is stopped and deleted afterwards."""
    if not service.get(f"{BASE}/gpu/available")["available_gpus"]:
        pytest.skip("no GPU is free for a training")
    if not service.success("POST", f"{BASE}/training/validate", 200, json=TOY)["valid"]:
        pytest.skip("the server rejects the toy training: POST /training/validate returns the reason")
    task = service.success("POST", f"{BASE}/training/start", 201, json=TOY)
    yield task
    service.request("POST", f"{BASE}/training/{task['task_id']}/stop", json={"force": True})
    wait_for(service, task["task_id"], *FINISHED)
    deadline = time.monotonic() + 10
    # It cannot be deleted until its GPU is released.
    while time.monotonic() < deadline:
        if service.request("DELETE", f"{BASE}/training/{task['task_id']}", params={"files": "true"}).status_code != 409:
            break
        time.sleep(0.2)


def wait_for(service: Service, task_id: str, *statuses: str, seconds: float = 20) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (task := service.get(f"{BASE}/training/{task_id}"))["status"] not in statuses:
        assert time.monotonic() < deadline, f"it is {task['status']} after {seconds} s: {task['waiting_reason']}"
        time.sleep(0.2)
    return task


def test_invalid_request_starts_nothing(service: Service):
    before = service.get(f"{BASE}/training/list", limit=1)["pagination"]["total"]
    error = service.failure("POST", f"{BASE}/training/start", 422, json={**TOY, "modle_type": "x", "priority": "high"})
    assert {"/modle_type", "/priority"} <= {mistake["pointer"] for mistake in error["errors"]}
    assert service.get(f"{BASE}/training/list", limit=1)["pagination"]["total"] == before


def test_validation_returns_the_plan(service: Service):
    found = service.success("POST", f"{BASE}/training/validate", 200, json=TOY)
    assert found.keys() >= {"valid", "errors", "warnings", "plan"}


def test_too_many_gpus_returns_507(service: Service):
    assert service.failure("POST", f"{BASE}/training/start", 507, json={**TOY, "gpu_count": 64})["code"]


def test_training_runs_to_its_end(service: Service, running: dict[str, Any]):
    assert running["status"] in ("queued", "starting", "running")
    assert running["task_id"].startswith("train_")
    task = wait_for(service, running["task_id"], *FINISHED)
    assert task["status"] == "completed", task["failure"]
    assert task["progress"]["overall_progress"] == 100
    assert task["metrics"]["current_loss"] is not None
    address = f"{BASE}/training/{running['task_id']}"
    assert service.get(f"{address}/metrics", metric="loss")["data"]
    assert any(found["is_complete"] for found in service.get(f"{address}/checkpoints")["checkpoints"])
    assert service.get(f"{address}/artifacts")["artifacts"]
    assert service.get(f"{address}/logs/search", keyword="TRAINING COMPLETE")["results"]
    changes = [event["current"] for event in service.get(f"{address}/events")["events"] if event["type"] == "status"]
    assert changes == ["queued", "starting", "running", "completed"]
