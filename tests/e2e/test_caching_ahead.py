"""A dataset cached ahead by the toy: followed over a killed server, used by a training, and trusted only unchanged."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import BASE, until
from tests.e2e.shelves import Shelf, png
from tests.e2e.toy_tasks import COMPLETED, toy
from tests.e2e.training_server import LONG, TrainingServer

PICTURES = {f"{seed}.png": png(seed) for seed in range(6)}
DATASET = {"directories": [{"dataset": "cats"}]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TrainingServer]:
    with TrainingServer(tmp_path) as started:
        shelf = Shelf(started.root)
        shelf.put("cats", [shelf.store(name, content, "a cat") for name, content in PICTURES.items()])
        shelf.close()
        yield started


def body(seconds: float = 0.05, **request: Any) -> dict[str, Any]:
    return toy(3, dataset=DATASET, knobs={"cache_seconds": seconds}, **request)


def cache(server: TrainingServer, seconds: float = 0.05) -> str:
    return str(server.post("/training/cache", 201, json=body(seconds))["task_id"])


def train(server: TrainingServer) -> tuple[str, str]:
    """Train on the same dataset; return the task, and its log when it has completed."""
    task_id = server.start_task(body())
    server.await_status(task_id, "completed")
    log = server.log_of(task_id)
    assert COMPLETED in log
    return task_id, log


def caches(server: TrainingServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get("/datasets/cats/caches")["caches"]
    return found


def files_of(server: TrainingServer, task_id: str) -> list[Path]:
    cached = (server.root / "tasks" / task_id / "datasets").glob("*/media/cache/**/*")
    return [path for path in cached if path.is_file()]


def test_caching_survives_a_killed_server_and_a_training_then_begins_with_its_first_step(server: TrainingServer):
    made = cache(server, 3)
    until(lambda: server.get(f"/training/{made}/progress")["progress"]["items_cached"], LONG, "something cached")
    refused = server.client.post(f"{BASE}/training/cache", json=body(3))
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "cache_building")
    assert refused.json()["data"] == {"task_id": made}
    server.kill()
    server.start()
    task = server.await_status(made, "completed")
    assert (task["kind"], task["attempt_count"], task["attempts"][0]["exit_code"]) == ("cache", 1, 0)
    (known,) = caches(server)
    assert (known["task_id"], known["state"], known["version"], known["files"]) == (made, "complete", 1, 3)
    user, log = train(server)
    assert f"toy: cache reused, {len(PICTURES)} pictures" in log
    assert "%|" not in log
    assert server.task(user)["plan"]["cache"]["state"] == "complete"
    assert not (server.root / "tasks" / user / "datasets").exists()
    assert caches(server)[0]["state"] == "complete"
    again = server.client.post(f"{BASE}/training/cache", json=body())
    assert (again.status_code, again.json()["error"]["code"]) == (409, "cache_exists")


def test_training_that_waits_for_its_cache_uses_it(server: TrainingServer):
    made = cache(server, 2)
    user = server.start_task(body())
    assert server.task(user)["plan"]["cache"]["state"] == "building"
    server.await_status(made, "completed")
    server.await_status(user, "completed")
    assert f"toy: cache reused, {len(PICTURES)} pictures" in server.log_of(user)


def test_cache_damaged_while_a_training_waits_is_not_used(server: TrainingServer):
    made = cache(server)
    server.await_status(made, "completed")
    hold = server.post("/system/holds", 201, json={"reason": "the cache is damaged meanwhile"})["hold_id"]
    user = server.start_task(body())
    assert server.task(user)["plan"]["cache"]["state"] == "complete"
    shard = next(path for path in files_of(server, made) if path.name == "shard_0.bin")
    shard.write_bytes(b"damaged")
    assert server.client.delete(f"{BASE}/system/holds/{hold}").status_code == 200
    server.await_status(user, "completed")
    assert "cache reused" not in server.log_of(user)


def test_stopped_caching_leaves_nothing_trusted_and_can_be_restarted(server: TrainingServer):
    made = cache(server, 60)
    until(lambda: server.get(f"/training/{made}/progress")["progress"]["stage"] == "caching", LONG, "its caching")
    server.stop_task(made)
    server.await_status(made, "stopped")
    assert caches(server)[0]["state"] == "failed"
    assert "cache reused" not in train(server)[1]
    server.await_status(cache(server), "completed")
    assert "cache reused" in train(server)[1]


def test_cache_with_changed_files_is_not_trusted(server: TrainingServer):
    made = cache(server)
    server.await_status(made, "completed")
    shard = next(path for path in files_of(server, made) if path.name == "shard_0.bin")
    shard.write_bytes(shard.read_bytes())
    assert caches(server)[0]["state"] == "changed"
    assert "cache reused" not in train(server)[1]
    shard.unlink()
    os.symlink("/dev/zero", shard)
    (changed,) = caches(server)
    assert (changed["state"], changed["reason_code"]["code"]) == ("changed", "cache_strange")
    assert "cache reused" not in train(server)[1]
