"""A sweep survives kills of its server: all of its trainings exist, each once."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.server import BASE, until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import FINISHED, LONG, TrainingServer
from tests.lengths import IN_FULL

BATCHES, RATES = [4, 8, 16, 32], [0.001, 0.002, 0.004]
COMBINATIONS = {(batch, rate) for batch in BATCHES for rate in RATES}


def body(**more: Any) -> dict[str, Any]:
    values = {"/config/micro_batch_size_per_gpu": BATCHES, "/config/optimizer/lr": RATES}
    return {"request": toy(20, name="cats"), "values": values, **more}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TrainingServer]:
    with TrainingServer(tmp_path) as running:
        yield running


def require_all_once(server: TrainingServer) -> list[dict[str, Any]]:
    """Return the trainings of the only sweep, after checking that each combination is there once."""
    [row] = server.get("/sweeps")["sweeps"]
    found: list[dict[str, Any]] = server.get(f"/sweeps/{row['sweep_id']}")["trainings"]
    assert Counter(tuple(each["sweep_values"].values()) for each in found) == Counter(COMBINATIONS)
    assert sorted(server.task_ids()) == sorted(each["task_id"] for each in found)
    return found


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4] if IN_FULL else [0.02, 0.2])
def test_sweep_is_queued_once_or_not_at_all_when_its_server_is_killed(server: TrainingServer, delay: float) -> None:
    address, headers = f"http://127.0.0.1:{server.port}", {"Idempotency-Key": "once"}

    def send() -> None:
        with suppress(httpx.HTTPError):
            httpx.post(f"{address}{BASE}/sweeps", json=body(), headers=headers, timeout=LONG)

    sending = threading.Thread(target=send)
    sending.start()
    time.sleep(delay)
    server.kill()
    sending.join()
    server.start()
    assert server.get("/training/list")["pagination"]["total"] in (0, 12)
    server.post("/sweeps", 201, json=body(), headers=headers)
    require_all_once(server)


def test_every_training_of_a_sweep_ends_once_although_its_server_is_killed_again_and_again(
    server: TrainingServer,
) -> None:
    made = server.post("/sweeps", 201, json=body())["sweep"]
    for _ in range(4):
        time.sleep(0.7)
        server.kill()
        server.start()
        require_all_once(server)
    until(lambda: server.get(f"/sweeps/{made['sweep_id']}")["status"] == "finished", 3 * LONG, "the end of the sweep")
    for each in require_all_once(server):
        assert (each["status"], each["attempt_count"]) == ("completed", 1)


def test_stopped_sweep_stays_stopped_when_its_server_is_killed(server: TrainingServer) -> None:
    made = server.post("/sweeps", 201, json={**body(), "request": toy(10_000, step_seconds=0.1)})["sweep"]
    until(lambda: server.get(f"/sweeps/{made['sweep_id']}")["counts"]["running"] == 8, LONG, "eight running trainings")
    for each in server.get("/training/list", params={"status": "running"})["tasks"]:
        server.await_step(each["task_id"], 2)
    server.post(f"/sweeps/{made['sweep_id']}/stop", 202)
    server.kill()
    server.start()
    until(lambda: server.get(f"/sweeps/{made['sweep_id']}")["status"] == "finished", LONG, "the end of the sweep")
    found = require_all_once(server)
    assert {each["status"] for each in found} == {"stopped"}
    for each in found:
        assert each["status"] in FINISHED
        if each["attempt_count"]:
            assert any(one["is_complete"] for one in server.task(each["task_id"])["checkpoints"])


def test_unpromising_training_is_stopped_with_a_checkpoint_and_completes_after_a_resume(server: TrainingServer) -> None:
    request = toy(150, step_seconds=0.15, name="cats")
    # With such a small rate the toy learns nothing.
    values = {"/config/optimizer/lr": [0.002, 0.004, 1e-9]}
    made = server.post("/sweeps", 201, json={"request": request, "values": values, "early_stop": {}})["sweep"]
    *good, bad = (each["task_id"] for each in made["trainings"])
    stopped = server.await_status(bad, "stopped", timeout=2 * LONG)
    assert stopped["stop"]["reason"].startswith("stopped by the rule of its sweep: at step ")
    assert any(each["is_complete"] for each in stopped["checkpoints"])
    assert stopped["progress"]["current_step"] >= 45
    server.post(f"/training/resume/{bad}", 202)
    for task_id in (*good, bad):
        server.await_status(task_id, "completed", timeout=2 * LONG)
