"""A training started through the API runs on a node of the cluster, from its start to its resume."""

import time
from collections.abc import Iterator

import httpx
import pytest

from api.executors.slurm.client import SlurmClient
from tests.e2e.server import BASE, until
from tests.e2e.training_server import TrainingServer
from tests.patience import BUSY_SECONDS
from tests.slurm_cluster import SlurmCluster

TOY = {"model_type": "toy", "config": {"epochs": 400, "toy": {"steps_per_epoch": 10, "step_seconds": 0.05}}}


def settings_of(cluster: SlurmCluster) -> dict[str, str]:
    return {
        "EXECUTOR": "slurm",
        "SLURMRESTD_URL": cluster.url,
        "SLURM_TOKEN_FILE": str(cluster.token_file),
        "NODE_NAME": "n1",
        "SIMULATED_GPUS": "2x NVIDIA GeForce RTX 4090",
    }


@pytest.fixture(scope="module")
def server(cluster: SlurmCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    with TrainingServer(tmp_path_factory.mktemp("server"), **settings_of(cluster)) as made:
        yield made


@pytest.fixture(autouse=True)
def _idle(server: TrainingServer) -> Iterator[None]:
    yield
    server.make_idle()


def jobs(cluster: SlurmCluster) -> list[str]:
    return cluster.command("squeue", "-h", "-o", "%j %N %t").splitlines()


def test_training_starts_on_a_node_within_seconds_stops_and_resumes(
    server: TrainingServer, cluster: SlurmCluster
) -> None:
    began = time.monotonic()
    task_id = server.start_task({**TOY, "gpu_count": 2})
    server.await_status(task_id, "running")
    assert time.monotonic() - began < 10 + BUSY_SECONDS
    assert jobs(cluster) == [f"{task_id}.1 n1 R"]
    reached = server.await_step(task_id, 3)["progress"]["current_step"]
    server.stop_task(task_id)
    stopped = server.await_status(task_id, "stopped")
    assert stopped["checkpoints"]
    server.post(f"/training/resume/{task_id}", 202, json={})
    server.await_status(task_id, "running")
    last = max(server.attempts_of(task_id)[0].steps)
    assert last >= reached
    until(lambda: server.attempts_of(task_id)[-1].steps[:1] == [last + 1], what="the step behind the last")


def test_training_outlives_its_server(server: TrainingServer, cluster: SlurmCluster) -> None:
    task_id = server.start_task(TOY)
    server.await_step(task_id, 2)
    server.kill()
    assert len(jobs(cluster)) == 1
    server.start()
    reached = server.await_step(task_id, 5)
    assert len(reached["attempts"]) == 1
    assert len(jobs(cluster)) == 1


def submit_foreign_job(cluster: SlurmCluster, gpus: int) -> str:
    headers = {"X-SLURM-USER-TOKEN": cluster.token()}
    job = {
        "name": "others",
        "tres_per_node": f"gres/gpu:{gpus}",
        "required_nodes": ["n1"],
        "environment": ["PATH=/usr/bin:/bin"],
        "current_working_directory": "/",
        "standard_output": "/dev/null",
    }
    body = {"script": "#!/bin/sh\nexec sleep 600\n", "job": job}
    answer = httpx.post(f"{cluster.url}/slurm/v0.0.42/job/submit", headers=headers, json=body).json()
    return str(answer["job_id"])


def test_task_waits_in_slurm_and_gets_the_gpus_that_another_user_releases(
    server: TrainingServer, cluster: SlurmCluster
) -> None:
    theirs = submit_foreign_job(cluster, 2)
    until(lambda: all(gpu["status"] == "busy" for gpu in server.gpus()), what="the other job to be seen")
    task_id, other_id = server.start_task(TOY), server.start_task(TOY)
    until(lambda: {f"{task_id}.1  PD", f"{other_id}.1  PD"} <= {*jobs(cluster)}, what="both to wait there")
    server.stop_task(other_id)
    until(lambda: f"{other_id}.1  PD" not in jobs(cluster), what="the stopped one to be taken back")
    later = submit_foreign_job(cluster, 2)
    assert server.task(task_id)["status"] == "queued"
    cluster.command("scancel", theirs)
    server.await_step(task_id, 1)
    assert len(server.task(task_id)["attempts"]) == 1
    cluster.command("scancel", later)


def test_training_uses_the_gpus_that_slurm_allocated(server: TrainingServer, cluster: SlurmCluster) -> None:
    theirs = submit_foreign_job(cluster, 1)
    try:
        until(lambda: server.gpus()[0]["status"] == "busy", what="the other job to be seen")
        assert "Slurm's job" in server.gpus()[0]["status_reason"]
        task_id = server.start_task(TOY)
        server.await_step(task_id, 1)
        assert server.gpus()[1]["current_task"]["task_id"] == task_id
        waiting = server.start_task(TOY)
        until(lambda: "Slurm's job" in (server.task(waiting)["waiting_reason"] or ""), what="the reason")
    finally:
        cluster.command("scancel", theirs)


@pytest.mark.parametrize(
    ("options", "pointer"),
    [({"partition": "nowhere"}, "/slurm/partition"), ({"constraint": "golden"}, "/slurm/constraint")],
)
def test_impossible_slurm_options_are_reported(server: TrainingServer, options: dict[str, str], pointer: str) -> None:
    error = server.post("/training/start", 422, json={**TOY, "slurm": options})
    assert [found["pointer"] for found in error["errors"]] == [pointer]


def test_slurm_options_reach_the_job(server: TrainingServer, cluster: SlurmCluster, client: SlurmClient) -> None:
    task_id = server.start_task({**TOY, "slurm": {"partition": "gpu", "time_limit": 77, "cpus_per_gpu": 3}})
    server.await_status(task_id, "running")
    shown = cluster.command("squeue", "-h", "-n", f"{task_id}.1", "-o", "%P %l %C").split()
    assert shown == ["gpu", "1:17:00", "3"]
    (job,) = (job for job in client.jobs() if job.name == f"{task_id}.1")
    assert job.ends_at is not None
    assert job.starts_at is not None
    assert job.ends_at - job.starts_at == 77 * 60


def test_drained_node_starts_nothing_and_reports_it(server: TrainingServer, cluster: SlurmCluster) -> None:
    cluster.command("scontrol", "update", "nodename=n1", "state=drain", "reason=dust")
    try:
        until(lambda: all("dust" in (gpu["status_reason"] or "") for gpu in server.gpus()), what="the drain to be seen")
        answer = server.client.post(f"{BASE}/training/start", json={**TOY, "queue": False})
        assert answer.status_code == 409, answer.text
    finally:
        cluster.command("scontrol", "update", "nodename=n1", "state=resume")
    until(lambda: all(gpu["status"] == "available" for gpu in server.gpus()), what="the node to be back")
