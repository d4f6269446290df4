"""The Slurm cluster of the tests is a real one, and leaves nothing behind."""

import getpass
import os
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from api.executors.slurm import cluster as cluster_watch
from api.executors.slurm.client import SlurmClient, SlurmUnreachable
from api.executors.slurm.cluster import ClusterWatch
from api.executors.slurm.storage_check import StorageChecks
from tests.e2e.server import until
from tests.patience import BUSY_SECONDS
from tests.slurm_cluster import SlurmCluster


def test_cluster_starts_within_seconds_and_allocates_gpus_by_number(tmp_path: Path) -> None:
    began = time.monotonic()
    with SlurmCluster(tmp_path / "slurm") as cluster:
        took = time.monotonic() - began
        job = {
            "name": "job",
            "tres_per_node": "gres/gpu:1",
            "environment": ["PATH=/usr/bin:/bin"],
            "current_working_directory": str(tmp_path),
            "standard_output": str(tmp_path / "output"),
        }
        headers = {"X-SLURM-USER-TOKEN": cluster.token()}
        body = {"script": "#!/bin/sh\necho $SLURMD_NODENAME $SLURM_JOB_GPUS\nexec sleep 600\n", "job": job}
        httpx.post(f"{cluster.url}/slurm/v0.0.42/job/submit", headers=headers, json=body).raise_for_status()
        end = time.monotonic() + 20
        while not (tmp_path / "output").exists() or not (tmp_path / "output").read_text():
            assert time.monotonic() < end, cluster.command("squeue")
            time.sleep(0.02)
        assert (tmp_path / "output").read_text() == "n1 0\n"
        assert cluster.pids()
    assert took < 10 + BUSY_SECONDS
    assert not cluster.pids()


def test_jobs_of_other_users_hide_nothing_whatever_their_names_and_kinds(
    cluster: SlurmCluster, client: SlurmClient
) -> None:
    def submit(*options: str | bytes) -> None:
        command = ["sbatch", "--output=/dev/null", *options, "--wrap=sleep 600"]
        environment = {**os.environ, **cluster.environment}
        subprocess.run(command, env=environment, cwd=cluster.directory, check=True, capture_output=True, timeout=30)

    # Slurm accepts any bytes, and an empty name.
    submit(b"--job-name=\xe9", b"--comment=\xff")
    submit("--job-name=a\nb\x1b[2J")
    submit("--job-name=")
    submit("--array=1-2", "--gres=gpu:1")
    watch = ClusterWatch(client, StorageChecks("test"))
    try:
        until(lambda: sum(len(node.holders) for node in watch.nodes()) == 2, what="the array's GPUs")
        # Unchanged jobs are known only by their state, and their numbers then have the form `8_1`.
        time.sleep(cluster_watch.FRESH_SECONDS)
        poll = watch.poll(fresh=True)
        assert sum(len(node.holders) for node in watch.nodes()) == 2
        assert {"", "\N{REPLACEMENT CHARACTER}", "a\N{SYMBOL FOR LINE FEED}b"} <= {job.name for job in poll.all}
    finally:
        cluster.command("scancel", "--user", getpass.getuser())
    until(lambda: not any(node.holders for node in watch.nodes()), what="the end of the array")


def test_expired_token_is_recognised_by_its_expiry_time(cluster: SlurmCluster, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(cluster.token(seconds=-60))
    client = SlurmClient(cluster.url, token)
    with pytest.raises(SlurmUnreachable, match=r"the token in .*/token was good until \d{4}-\d\d-\d\d .* UTC"):
        client.jobs()
    token.write_text(cluster.token())
    assert isinstance(client.jobs(), tuple)
    client.close()
