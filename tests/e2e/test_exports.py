"""Exports of checkpoints under a real server and its supervisors, with the toy trainer."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from tests.e2e.server import BASE, until
from tests.e2e.shelves import Shelf, png
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG, TrainingServer

FILE = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    with TrainingServer(tmp_path_factory.mktemp("exports") / "server") as started:
        yield started


@pytest.fixture(autouse=True)
def _leave_nothing_behind(server: TrainingServer) -> Iterator[None]:
    yield
    server.make_idle()


def export(server: TrainingServer, task_id: str, **body: Any) -> dict[str, Any]:
    answer = server.client.post(f"{BASE}/training/{task_id}/export", json=body)
    assert answer.status_code in (200, 202), answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def await_export(server: TrainingServer, made: dict[str, Any]) -> dict[str, Any]:
    """Wait until an export is complete, and return its entry in the list of the training."""
    server.await_status(made["export_id"], "completed")
    exports = server.get(f"/training/{made['task_id']}/checkpoints")["exports"]
    found: dict[str, Any] = next(one for one in exports if one["export_id"] == made["export_id"])
    return found


def run_dir_of(server: TrainingServer, task_id: str) -> Path:
    return Path(server.task(task_id)["run_dir"])


def train(server: TrainingServer, steps: int) -> str:
    """Return a completed training with a checkpoint and a saved model at its last step."""
    task_id = server.start_task(toy(steps, every=steps, step_seconds=0.01))
    server.await_status(task_id, "completed")
    return task_id


def test_export_equals_the_model_that_the_trainer_saved_at_the_same_step(server: TrainingServer):
    task_id = train(server, 5)
    run_dir = run_dir_of(server, task_id)
    made = export(server, task_id, checkpoint="global_step5")
    assert made["export_id"].startswith("export_")
    shown = await_export(server, made)

    assert shown["path"] == f"{run_dir.name}/step5/{FILE}"
    downloaded = server.client.get(shown["url"], params={"raw": True}).content
    assert downloaded == (run_dir / "epoch1" / FILE).read_bytes()
    for name in ("adapter_config.json", "config.toml"):
        assert (run_dir / "step5" / name).read_bytes() == (run_dir / "epoch1" / name).read_bytes()
    assert [name for name in run_dir.iterdir() if "unfinished" in name.name] == []
    details = server.task(made["export_id"])
    assert (details["kind"], details["export"]["path"]) == ("export", shown["path"])
    body = {"task_id": task_id, "artifact": shown["path"], "name": "exported"}
    server.post("/models/registry", 201, json=body)
    assert server.get("/models/registry/exported/versions/1")["origin"]["step"] == 5


def test_repeated_export_is_the_existing_one(server: TrainingServer):
    task_id = train(server, 5)
    found: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: found.append(export(server, task_id))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one["export_id"] for one in found}) == 1
    await_export(server, found[0])
    again = server.client.post(f"{BASE}/training/{task_id}/export")
    assert (again.status_code, again.json()["data"]["export_id"]) == (200, found[0]["export_id"])
    assert len(server.get("/training/list", params={"kind": "export", "search": found[0]["export_id"]})["tasks"]) == 1


def test_deleted_model_is_exported_again(server: TrainingServer):
    task_id = train(server, 5)
    made = await_export(server, export(server, task_id))
    path = server.root / "tasks" / task_id / "output" / made["path"]
    path.unlink()
    assert export(server, task_id)["export_id"] == made["export_id"]
    await_export(server, made)
    assert path.is_file()


def test_stop_that_keeps_a_lora_is_followed_by_the_export(server: TrainingServer):
    task_id = server.start_task(toy(1000, every=None))
    server.await_step(task_id, 3)
    stopping = server.stop_task(task_id, keep_lora=True)
    assert stopping["stop"]["keep_lora"] is True
    task = server.await_status(task_id, "stopped")
    (made,) = server.get(f"/training/{task_id}/checkpoints")["exports"]
    assert made["checkpoint"] == task["checkpoints"][-1]["name"]
    shown = await_export(server, made)
    run_dir = run_dir_of(server, task_id)
    weights = load_file(run_dir / made["checkpoint"] / "model.safetensors")
    exported = load_file(server.root / "tasks" / task_id / "output" / shown["path"])
    assert {name: value.tolist() for name, value in exported.items()} == {
        name: value.tolist() for name, value in weights.items()
    }


def test_stop_that_keeps_a_lora_survives_a_kill_of_the_server(server: TrainingServer):
    task_id = server.start_task(toy(1000, every=None))
    server.await_step(task_id, 3)
    server.stop_task(task_id, keep_lora=True)
    server.kill()
    server.start()
    server.await_status(task_id, "stopped")
    (made,) = server.get(f"/training/{task_id}/checkpoints")["exports"]
    await_export(server, made)


def test_running_training_can_be_exported(server: TrainingServer):
    task_id = server.start_task(toy(1000, every=None))
    server.await_step(task_id, 3)
    server.post(f"/training/{task_id}/save", 202)
    listed = f"/training/{task_id}/checkpoints"
    until(lambda: any(one["is_complete"] for one in server.get(listed)["checkpoints"]), LONG, "a checkpoint")
    await_export(server, export(server, task_id))
    assert server.task(task_id)["status"] == "running"


def test_killed_export_is_retried_and_leaves_no_half_file(server: TrainingServer):
    task_id = train(server, 5)
    run_dir = run_dir_of(server, task_id)
    # The directory that a killed run of the same export would have left.
    made = export(server, task_id)
    await_export(server, made)
    (run_dir / "step5" / FILE).unlink()
    left = run_dir / f".{made['export_id']}.unfinished"
    left.mkdir()
    (left / FILE).write_bytes(b"half")
    export(server, task_id)
    await_export(server, made)
    assert not left.exists()
    assert json.loads((run_dir / "step5" / ".exported.json").read_text())["checkpoint"] == "global_step5"


# -- by the trainer ----------------------------------------------------------------------------------------------------


def by_trainer(steps: int, **more: Any) -> dict[str, Any]:
    """Return the request of a training whose checkpoints only the trainer can export."""
    return toy(steps, knobs={"exports_directly": False, **more.pop("knobs", {})}, **more)


def names(directory: Path) -> dict[str, int]:
    """Return the inode of each file below a directory, by path."""
    return {str(path.relative_to(directory)): path.stat().st_ino for path in directory.rglob("*") if path.is_file()}


def test_trainer_makes_the_model_of_the_next_step_from_a_copy_of_the_checkpoint(server: TrainingServer):
    task_id = server.start_task(by_trainer(9, every=5, step_seconds=0.01))
    server.await_status(task_id, "completed")
    run_dir = run_dir_of(server, task_id)
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    made = export(server, task_id, checkpoint="global_step5")
    assert (made["method"], made["step"], made["progress"]) == ("resume", 6, None)
    shown = await_export(server, made)

    assert shown["path"] == f"{run_dir.name}/step6/{FILE}"
    log = server.log_of(made["export_id"])
    assert [line.split()[1] for line in log.splitlines() if line.startswith("steps: ")] == ["6"]
    task = server.task(made["export_id"])
    assert (task["gpu_count"], task["plan"]["export"]["step"], task["export"]["step"]) == (1, 6, 6)
    assert "of step 6" in task["plan"]["notes"][0]
    assert {path: path.read_bytes() for path in before} == before
    assert load_file(run_dir / "step6" / FILE).keys() == load_file(run_dir / "epoch1" / FILE).keys()
    files = server.root / "tasks" / made["export_id"]
    until(lambda: {path.name for path in files.iterdir()} == {"attempts", "log"}, LONG, "the removal of its files")
    again = server.client.post(f"{BASE}/training/{task_id}/export", json={"checkpoint": "global_step5"})
    assert (again.status_code, again.json()["data"]["export_id"]) == (200, made["export_id"])


def left(server: TrainingServer, export_id: str) -> set[str]:
    """Return the names of what is left of a task's files."""
    return {path.name for path in (server.root / "tasks" / export_id).iterdir()}


def test_export_by_the_trainer_survives_kills_and_leaves_no_files(server: TrainingServer):
    knobs = {"load_seconds": 3.0}
    task_id = server.start_task(by_trainer(5, every=5, step_seconds=0.01, knobs=knobs))
    server.await_status(task_id, "completed")
    made = export(server, task_id)
    server.await_status(made["export_id"], "running")
    server.kill()
    server.start()
    shown = await_export(server, made)
    assert (server.task(made["export_id"])["attempt_count"], shown["step"]) == (1, 6)
    # The server may also be killed after the end, before the files are removed.
    server.kill()
    (server.root / "tasks" / made["export_id"] / "output" / "20000101_00-00-00").mkdir(parents=True, exist_ok=True)
    server.start()
    until(lambda: left(server, made["export_id"]) == {"attempts", "log"}, LONG, "the removal of its files")
    assert (run_dir_of(server, task_id) / "step6" / FILE).is_file()


def test_failed_export_by_the_trainer_leaves_neither_files_nor_a_model(server: TrainingServer):
    task_id = server.start_task(by_trainer(5, every=5, step_seconds=0.01, knobs={"fail_at_step": 6}))
    server.await_status(task_id, "completed")
    before = names(run_dir_of(server, task_id))
    found: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: found.append(export(server, task_id))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (export_id,) = {one["export_id"] for one in found}
    assert server.await_status(export_id, "failed")["failure"]["remedy"]
    until(lambda: left(server, export_id) == {"attempts", "log"}, LONG, "the removal of its files")
    assert names(run_dir_of(server, task_id)) == before


def test_stop_that_keeps_a_lora_has_the_trainer_make_it(server: TrainingServer):
    task_id = server.start_task(by_trainer(1000, every=None))
    server.await_step(task_id, 3)
    server.stop_task(task_id, keep_lora=True)
    step = server.await_status(task_id, "stopped")["checkpoints"][-1]["step"]
    (made,) = server.get(f"/training/{task_id}/checkpoints")["exports"]
    shown = await_export(server, made)
    assert shown["path"] == f"{run_dir_of(server, task_id).name}/step{step + 1}/{FILE}"


def test_export_by_the_trainer_uses_the_directories_of_the_trainings_dataset(server: TrainingServer):
    shelf = Shelf(server.root)
    shelf.put("cats", [shelf.store(f"{seed}.png", png(seed), "a cat") for seed in range(3)])
    shelf.close()
    body = by_trainer(5, every=5, step_seconds=0.01, dataset={"directories": [{"dataset": "cats"}]})
    task_id = server.start_task(body)
    server.await_status(task_id, "completed")
    (media,) = (server.root / "tasks" / task_id / "datasets").glob("*/media")
    (media / "cache").mkdir(exist_ok=True)
    made = export(server, task_id)
    await_export(server, made)
    dataset = server.root / "tasks" / made["export_id"] / "attempts" / "1" / "dataset.toml"
    assert str(media) in dataset.read_text()
    assert server.task(made["export_id"])["plan"]["datasets"] == server.task(task_id)["plan"]["datasets"]
