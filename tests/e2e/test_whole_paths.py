"""One complete workflow for each part, on a real server with SQLite."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.server import until
from tests.e2e.toy_tasks import STARTED, toy
from tests.e2e.training_server import LONG, TrainingServer
from tests.unit.alerts.notifiers.receivers import receiving, status

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    with TrainingServer(tmp_path_factory.mktemp("paths"), PRIVATE_HOSTS_ALLOWED="127.0.0.1") as started:
        yield started


def test_training_is_started_stopped_with_a_checkpoint_and_resumed(server: TrainingServer) -> None:
    task_id = server.start_task(toy(40, every=None))
    server.await_step(task_id, 1)
    server.stop_task(task_id)
    server.await_status(task_id, "stopped")
    (checkpoint,) = server.get(f"/training/{task_id}/checkpoints")["checkpoints"]
    assert 1 <= checkpoint["step"] < 40
    server.post(f"/training/resume/{task_id}", 202)
    task = server.await_status(task_id, "completed")
    assert len(task["attempts"]) == 2
    assert "Resuming training from checkpoint" in server.log_of(task_id).rpartition(STARTED)[2]
    assert task["progress"]["current_step"] == 40


def test_picture_is_uploaded_and_trained_on(server: TrainingServer) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(picture, "PNG")
    server.post("/datasets", 201, json={"name": "cats"})
    files = {"file": ("cat.png", picture.getvalue(), "image/png")}
    server.post("/preprocess/upload", 202, data={"dataset": "cats"}, files=files)
    until(lambda: server.get("/datasets/cats")["dataset"]["items"] == 1, LONG, "the version with the picture")
    task_id = server.start_task(toy(3, dataset={"directories": [{"dataset": "cats"}]}))
    assert server.await_status(task_id, "completed")["plan"]["dataset_items"] == 1


def test_failed_training_sends_a_message(server: TrainingServer) -> None:
    with receiving(status("204 No Content")) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/"
        channel = {"name": "hook", "kind": "webhook", "url": url, "group_wait_seconds": 0, "webhook_format": "plain"}
        server.post("/alerts/channels", 201, json=channel)
        task_id = server.start_task(toy(5, knobs={"fail_at_step": 2}, name="doomed", max_retries=0))
        server.await_status(task_id, "failed")
        until(lambda: receiver.requests, LONG, "the message")
    assert b"doomed failed at step 1" in b"".join(receiver.requests)


def test_request_without_a_key_is_refused_and_one_with_a_key_is_served(tmp_path: Path) -> None:
    with TrainingServer(tmp_path, AUTH="required") as server:
        assert server.client.get("/api/v1/gpu/status").status_code == 401
        server.show(server.first_key())
        assert len(server.gpus()) == 8
