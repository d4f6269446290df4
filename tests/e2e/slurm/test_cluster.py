"""The Slurm that tests run on is a real one, and leaves nothing behind."""

import time
from pathlib import Path

import httpx

from tests.slurm_cluster import SlurmCluster


def test_a_cluster_is_up_within_seconds_and_gives_gpus_by_number(tmp_path: Path) -> None:
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
    assert took < 10
    assert not cluster.pids()
