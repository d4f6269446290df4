"""A head and nodes that report their GPUs: a training whose node dies continues on another one."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import ServerProcess, until
from tests.e2e.slurm.test_training import settings_of
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer
from tests.patience import BUSY_SECONDS
from tests.slurm_cluster import SlurmCluster

NODES = ("n1", "n2")


@pytest.fixture(scope="module")
def fleet(cluster: SlurmCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    directory = tmp_path_factory.mktemp("fleet")
    with ExitStack() as stack:
        settings = {**settings_of(cluster), "NODE_NAME": "head", "SIMULATED_GPUS": "1x NVIDIA GeForce RTX 4090"}
        head = TrainingServer(directory / "head", **settings)
        stack.enter_context(head)
        for number, name in enumerate(NODES):
            stack.enter_context(_node(directory / name, name, head.port, number))
        until(lambda: len(_available(head)) == 4, what="the GPUs of both machines")
        yield head


class NodeProcess(ServerProcess):
    """The program on another machine, whose start line differs."""

    def _start_line(self) -> dict[str, Any] | None:
        return next((line for line in self.log() if "listening on" in line["message"]), None)


def _node(directory: Path, name: str, port: int, number: int) -> ServerProcess:
    directory.mkdir()
    settings = {
        "ROLE": "node",
        "NODE_NAME": name,
        "HEAD_URL": f"http://127.0.0.1:{port}",
        "SIMULATED_GPUS": "2x NVIDIA GeForce RTX 4090",
        "SIMULATED_SEED": str(number + 1),
    }
    return NodeProcess(directory, settings)


def _available(head: TrainingServer) -> list[str]:
    return [gpu["node"] for gpu in head.gpus() if gpu["status"] == "available" and gpu.get("node") in NODES]


def test_training_of_a_dead_node_resumes_from_its_checkpoint_on_another(
    fleet: TrainingServer, cluster: SlurmCluster, tmp_path: Path
) -> None:
    task_id = fleet.start_task(toy(100_000, step_seconds=0.1, gpus=2, every=5))
    fleet.await_step(task_id, 12)
    first = cluster.command("squeue", "-h", "-n", f"{task_id}.1", "-o", "%N").strip()
    assert first in NODES
    assert {gpu["node"] for gpu in fleet.gpus() if (gpu["current_task"] or {}).get("task_id") == task_id} == {first}
    began = time.monotonic()
    cluster.kill_machine(first)
    try:
        until(lambda: len(fleet.attempts_of(task_id)) == 2 and fleet.attempts_of(task_id)[1].steps, 60, "its next try")
        took = time.monotonic() - began
        task = fleet.task(task_id)
        before, after = (found.steps for found in fleet.attempts_of(task_id))
        assert [attempt["failure"]["code"] for attempt in task["attempts"][:1]] == ["node_lost"]
        second = cluster.command("squeue", "-h", "-n", f"{task_id}.2", "-o", "%N").strip()
        assert second in set(NODES) - {first}
        # It saves after every fifth step.
        assert max(before) - 5 <= after[0] - 1 <= max(before)
        assert took < 60 + BUSY_SECONDS
        (tmp_path / "took").write_text(f"{took:.1f}")
    finally:
        fleet.stop_task(task_id, force=True)
        cluster.start_node(first)
        cluster.wait_for_nodes()
    fleet.await_status(task_id, "stopped")


def test_burst_of_tasks_fills_every_gpu_immediately(fleet: TrainingServer) -> None:
    began = time.monotonic()
    tasks = [fleet.start_task(toy(100_000, step_seconds=0.5, gpus=gpus, every=None)) for gpus in (2, 1, 1, 2, 2)]
    try:
        for task_id in tasks[:3]:
            fleet.await_status(task_id, "running")
        # Jobs submitted ahead kept the GPUs of claimed attempts for a minute.
        assert time.monotonic() - began < 30 + BUSY_SECONDS
    finally:
        for task_id in tasks:
            fleet.stop_task(task_id, force=True)
        fleet.make_idle()


def test_gpus_outside_the_cluster_are_not_assigned(fleet: TrainingServer) -> None:
    answer = fleet.client.post(
        f"http://127.0.0.1:{fleet.port}/api/v1/training/start", json=toy(10, gpus=3) | {"queue": False}
    )
    assert answer.status_code == 507, answer.text
    assert "on one node" in answer.text
