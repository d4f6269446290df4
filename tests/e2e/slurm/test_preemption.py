"""Slurm preempts a training for a job with a higher priority: it saves in time and continues later."""

from pathlib import Path

import httpx

from tests.e2e.server import until
from tests.e2e.slurm.test_training import settings_of
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer
from tests.slurm_cluster import SlurmCluster

SETTINGS = {"PreemptType": "preempt/partition_prio", "PreemptMode": "CANCEL"}
PARTITIONS = (
    "low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=CANCEL GraceTime=30",
    "high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF",
)


def test_preempted_training_loses_no_step(tmp_path: Path) -> None:
    with (
        SlurmCluster(tmp_path / "slurm", ("n1",), settings=SETTINGS, partitions=PARTITIONS) as cluster,
        TrainingServer(tmp_path / "server", **settings_of(cluster)) as server,
    ):
        task_id = server.start_task(toy(100_000, step_seconds=0.1, gpus=2, every=None))
        server.await_step(task_id, 3)
        job = _preempt_both_gpus(cluster)
        until(lambda: server.task(task_id)["attempts"][0]["failure"], what="the end of its first try")
        assert server.task(task_id)["attempts"][0]["failure"]["code"] == "preempted"
        _end(cluster, job)
        until(lambda: len(server.attempts_of(task_id)) == 2 and server.attempts_of(task_id)[1].steps, what="the next")
        before, after = (found.steps for found in server.attempts_of(task_id))
        assert after[0] == before[-1] + 1
        server.stop_task(task_id, force=True)
        server.await_status(task_id, "stopped")


def _preempt_both_gpus(cluster: SlurmCluster) -> int:
    job = {
        "name": "urgent",
        "partition": "high",
        "tres_per_node": "gres/gpu:2",
        "environment": ["PATH=/usr/bin:/bin"],
        "current_working_directory": "/",
        "standard_output": "/dev/null",
    }
    body = {"script": "#!/bin/sh\nexec sleep 600\n", "job": job}
    headers = {"X-SLURM-USER-TOKEN": cluster.token()}
    answer = httpx.post(f"{cluster.url}/slurm/v0.0.42/job/submit", headers=headers, json=body).json()
    number: int = answer["job_id"]
    return number


def _end(cluster: SlurmCluster, job: int) -> None:
    cluster.command("scancel", str(job))
