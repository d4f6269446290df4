"""A database that is lost, or restored from an older backup, while trainings run."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import BASE, until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG, TrainingServer

ENDLESS = toy(100_000, step_seconds=0.1)


def _on(gpu: int, body: dict[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in body.items() if name != "gpu_count"}, "gpu_ids": [gpu]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TrainingServer]:
    with TrainingServer(tmp_path / "server") as running:
        yield running


def _databases(server: TrainingServer) -> list[Path]:
    return list(server.root.glob("database.sqlite*"))


def _gpu(server: TrainingServer, index: int) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/gpu/{index}")
    return found


def test_lost_database_assigns_no_occupied_gpu(server: TrainingServer) -> None:
    task_id = server.start_task(_on(3, ENDLESS))
    server.await_step(task_id, 2)
    main = server.main_of(task_id)
    server.kill()
    for path in _databases(server):
        path.unlink()
    server.start()
    gpu = until(lambda: (found := _gpu(server, 3))["status"] == "busy" and found, LONG, "the quarantine")
    assert f"{task_id}.1" in gpu["status_reason"]
    assert server.main_of(task_id) == main
    assert any("orphaned attempt found" in line["message"] for line in server.log())
    waiting = server.start_task(_on(3, toy(5)))
    orphans = server.get("/system/strays")["strays"]
    assert [(orphan["attempt"], orphan["gpu_ids"]) for orphan in orphans] == [(f"{task_id}.1", [3])]
    assert server.task(waiting)["status"] == "queued"
    answer = server.client.post(f"{BASE}/system/strays/{task_id}.1/stop", json={"force": False})
    assert answer.status_code == 202, answer.text
    until(lambda: not server.processes_of(task_id), LONG, "the end of the orphan")
    server.await_status(waiting, "completed")


def test_older_backup_adopts_its_training_again(server: TrainingServer, tmp_path: Path) -> None:
    first = server.start_task(_on(0, ENDLESS))
    server.await_step(first, 2)
    second = server.start_task(_on(0, ENDLESS))
    server.kill()
    for path in _databases(server):
        shutil.copy(path, tmp_path / path.name)
    server.start()
    server.stop_task(first, force=True)
    server.await_step(second, 2)
    main = server.main_of(second)
    server.kill()
    for path in _databases(server):
        path.unlink()
        shutil.copy(tmp_path / path.name, path)
    server.start()
    task = server.await_status(second, "running")
    assert task["attempt_count"] == 1
    assert task["attempts"][0]["gpu_ids"] == [0]
    assert server.main_of(second) == main
    server.await_step(second, (task["progress"]["current_step"] or 0) + 3)
    server.stop_task(second)
    server.await_status(second, "stopped")
