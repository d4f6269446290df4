"""A real training of the toy on a named dataset: it sees the pictures, and what it does to them changes nothing."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.server import BASE, until
from tests.e2e.shelves import Shelf, png
from tests.e2e.toy_tasks import COMPLETED, toy
from tests.e2e.training_server import LONG, TrainingServer

PICTURES = {f"{seed}.png": png(seed) for seed in range(6)}
DATASET = {"directories": [{"dataset": "cats"}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    directory = tmp_path_factory.mktemp("server")
    media = directory / "media"
    media.mkdir()
    for name, content in PICTURES.items():
        (media / name).write_bytes(content)
    with TrainingServer(directory, DATASET_DIRECTORIES=str(directory)) as started:
        shelf = Shelf(started.root)
        shelf.put("cats", [shelf.keep(name, content, "a cat") for name, content in PICTURES.items()])
        shelf.close()
        yield started


def laid_out(server: TrainingServer, task_id: str) -> Path:
    (found,) = (server.root / "tasks" / task_id / "datasets").glob("*/media")
    return found


def test_it_trains_on_the_pictures_and_goes_on_with_the_same_after_its_directory_was_spoiled(server: TrainingServer):
    task_id = server.start_task(toy(1000, dataset=DATASET))
    server.await_step(task_id, 12)
    laid = laid_out(server, task_id)
    for name in PICTURES:
        (laid / name).unlink()
    server.stop_task(task_id)
    assert server.await_status(task_id, "stopped")["plan"]["dataset_items"] == len(PICTURES)
    server.post(f"/training/resume/{task_id}", 202, json={"config": {"toy": {"steps_per_epoch": 30}}})
    server.await_status(task_id, "completed")
    assert COMPLETED in server.log_of(task_id)
    found = {path.name: path.read_bytes() for path in laid_out(server, task_id).glob("*.png")}
    assert found == PICTURES
    stored = [path for path in (server.root / "datasets" / "sha256").rglob("*") if path.is_file()]
    assert [path for path in stored if hashlib.sha256(path.read_bytes()).hexdigest() != path.name] == []


def test_two_trainings_share_the_bytes_and_not_the_directory(server: TrainingServer):
    tasks = [server.start_task(toy(10, dataset=DATASET)) for _ in range(2)]
    for task_id in tasks:
        server.await_status(task_id, "completed")
    first, second = (laid_out(server, task_id) / "0.png" for task_id in tasks)
    assert first != second
    assert first.stat().st_ino == second.stat().st_ino


def test_a_directory_on_the_server_is_trained_on_in_place_until_it_changes(server: TrainingServer):
    media = Path(os.path.commonpath([server.root, server.root.parent])) / "media"
    server.post("/datasets", 201, json={"name": "own", "directory": str(media)})
    until(lambda: server.get("/datasets/own")["dataset"]["latest"] == 1, LONG, "its first version")
    body = toy(10, dataset={"directories": [{"dataset": "own@1"}]})
    server.await_status(server.start_task(body), "completed")
    (media / "0.png").write_bytes(png(99))
    refused = server.client.post(f"{BASE}/training/start", json=body)
    assert refused.status_code == 422
    assert "0.png" in refused.json()["error"]["errors"][0]["message"]
    assert {path.name for path in media.iterdir()} == set(PICTURES)
