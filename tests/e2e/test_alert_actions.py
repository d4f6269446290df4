"""A rule with an action, on a real server: a GPU that overheats ends its training with a checkpoint."""

from pathlib import Path

from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG, TrainingServer

RULE = {
    "rule_id": "too_hot",
    "title": "too hot",
    "scope": "gpu",
    "metric": "temperature_gpu",
    "comparison": "at_least",
    "value": 85,
    "summary": "{gpu} is at {temperature_gpu} °C.",
    "actions": ["stop_with_checkpoint", "hold_gpu"],
}


def test_training_on_an_overheating_gpu_ends_with_a_checkpoint_and_the_gpu_is_held(tmp_path: Path):
    settings = {"SIMULATED_EVENTS": "6s gpu1 overheats 1h", "SIMULATED_GPUS": "2x NVIDIA GeForce RTX 4090"}
    with TrainingServer(tmp_path / "server", **settings) as server:
        task_id = server.start_task(toy(30_000, step_seconds=0.05, gpus=[1], every=None))
        server.post("/alerts/rules", 201, json=RULE)
        task = server.await_status(task_id, "stopped")
        assert task["stop"]["actor"] == "rule too_hot"
        (checkpoint,) = server.get(f"/training/{task_id}/checkpoints")["checkpoints"]
        (alert,) = server.get("/alerts", params={"rule": "too_hot"})["alerts"]
        assert "By its rule the task is stopped with a checkpoint." in alert["remedy"]

        def actions() -> dict[str, str]:
            shown = server.get(f"/alerts/{alert['alert_id']}")["actions"]
            return {action["kind"]: action["result"] for action in shown if action["state"] == "done"}

        until(lambda: len(actions()) == 2, LONG, "both actions to be done")
        assert actions()["stop_with_checkpoint"] == f"stopped; its last checkpoint is {checkpoint['name']}"
        until(lambda: server.get("/gpu/1")["status"] == "busy", LONG, "the GPU to be held")
        assert "rule too_hot" in server.get("/gpu/1")["status_reason"]
        messages = [row["message"] for row in server.get(f"/alerts/{alert['alert_id']}")["history"]]
        assert any(message.startswith("stop_with_checkpoint done") for message in messages)
