"""A real training of the toy on a named dataset: it sees the pictures, and its changes to them affect nothing else."""

import gzip
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
        shelf.put("cats", [shelf.store(name, content, "a cat") for name, content in PICTURES.items()])
        shelf.close()
        yield started


def dataset_directory(server: TrainingServer, task_id: str) -> Path:
    (found,) = (server.root / "tasks" / task_id / "datasets").glob("*/media")
    return found


def content_of(path: Path) -> bytes:
    """Return the bytes that a stored file is named by: manifests are compressed."""
    content = path.read_bytes()
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def test_training_uses_the_pictures_and_resumes_with_the_same_after_its_directory_was_damaged(server: TrainingServer):
    task_id = server.start_task(toy(1000, dataset=DATASET))
    server.await_step(task_id, 12)
    laid = dataset_directory(server, task_id)
    for name in PICTURES:
        (laid / name).unlink()
    server.stop_task(task_id)
    assert server.await_status(task_id, "stopped")["plan"]["dataset_items"] == len(PICTURES)
    server.post(f"/training/resume/{task_id}", 202, json={"config": {"toy": {"steps_per_epoch": 30}}})
    server.await_status(task_id, "completed")
    assert COMPLETED in server.log_of(task_id)
    found = {path.name: path.read_bytes() for path in dataset_directory(server, task_id).glob("*.png")}
    assert found == PICTURES
    stored = [path for path in (server.root / "datasets" / "sha256").rglob("*") if path.is_file()]
    assert [path for path in stored if hashlib.sha256(content_of(path)).hexdigest() != path.name] == []


def test_registered_directory_is_trained_on_in_place_until_it_changes(server: TrainingServer):
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


def test_damaged_picture_blocks_training_on_a_dataset_until_it_is_excluded(server: TrainingServer):
    shelf = Shelf(server.root)
    whole = png(1, (256, 256))
    damaged = whole[: len(whole) // 2]
    items = [shelf.store(f"{seed}.png", png(seed), "a cat") for seed in range(2, 6)]
    shelf.put("mixed", [*items, shelf.store("bad.png", damaged, "a cat")])
    shelf.close()
    real = {"model_type": "flux", "dataset": {"resolutions": [512], "directories": [{"dataset": "mixed"}]}}
    assert any("bad.png" in each["message"] for each in server.post("/training/start", 422, json=real)["errors"])
    body = toy(10, dataset={"directories": [{"dataset": "mixed"}]})
    assert "bad.png" in server.post("/training/validate", 200, json=body)["warnings"][0]["message"]
    (error,) = server.post("/datasets/mixed/check", 200, json={"model_type": "flux", "resolutions": [512]})["errors"]
    edit = server.client.patch(f"{BASE}/datasets/mixed/items", json={"exclude": error["item_ids"]}).json()["data"]
    assert (edit["excluded"], edit["trained"]) == (1, len(items))
    assert not any("bad.png" in each["message"] for each in server.post("/training/start", 422, json=real)["errors"])
    task_id = server.start_task(body)
    task = server.await_status(task_id, "completed")
    assert task["plan"]["dataset_items"] == len(items)
    assert {path.name for path in dataset_directory(server, task_id).glob("*.png")} == {item.path for item in items}
    # A training that has started with a version continues to use it.
    server.post(f"/datasets/mixed/versions/{edit['previous']}/restore", 201)
    assert server.get(f"/training/{task_id}")["plan"]["datasets"][0]["manifest"] == edit["version"]["manifest"]
