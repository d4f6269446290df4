"""Slurm jobs that the old version submitted continue, start and end under the new one."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.databases import fresh_postgres
from tests.e2e.server import until
from tests.e2e.slurm.test_training import TOY, settings_of, submit_foreign_job
from tests.e2e.toy_tasks import QUIT, toy
from tests.e2e.upgraded_server import UpgradedServer
from tests.slurm_cluster import SlurmCluster


def jobs(cluster: SlurmCluster) -> dict[str, tuple[str, str]]:
    """Return id and state of every job by name; a job that is held is not in a state in which it could start."""
    rows = (line.split(maxsplit=3) for line in cluster.command("squeue", "-h", "-o", "%j %i %t %r").splitlines())
    return {name: (number, "held" if "Held" in reason else state) for name, number, state, reason in rows}


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("backend", "is_killed"), [("sqlite", True), ("postgresql", False)])
def test_jobs_of_the_old_version_run_start_and_end_under_the_new_one(
    backend: str, is_killed: bool, tmp_path: Path
) -> None:
    with SlurmCluster(tmp_path / "cluster", ("n1",), 4) as cluster, ExitStack() as stack:
        settings = settings_of(cluster) | {"SIMULATED_GPUS": "4x NVIDIA GeForce RTX 4090"}
        if backend == "postgresql":
            settings["DATABASE_URL"] = stack.enter_context(fresh_postgres())
        with UpgradedServer(tmp_path / "server", **settings) as server:
            running = server.start_task(TOY)
            ends = server.start_task(toy(150, step_seconds=0.1))
            foreign = [submit_foreign_job(cluster, 1) for _ in range(2)]
            server.await_step(running, 2)
            server.await_step(ends, 2)
            early, later = (server.start_task(toy(100_000, step_seconds=0.1)) for _ in range(2))
            until(lambda: {jobs(cluster).get(f"{task}.1", "")[1:] for task in (early, later)} == {("PD",)}, what="both")
            before = jobs(cluster)
            server.end(is_killed)
            server.replace_code()
            # One of the two starts while no server is there.
            cluster.command("scancel", foreign[0])
            until(lambda: sorted(jobs(cluster)[f"{task}.1"][1] for task in (early, later)) == ["PD", "R"], what="one")
            until((server.root / "tasks" / ends / "attempts" / "1" / "exit.json").exists, what="its end")
            server.start(server.port)
            assert server.await_status(ends, "completed")["attempt_count"] == 1
            reached = server.task(running)["progress"]["current_step"] or 0
            server.await_step(running, reached + 10)
            until(lambda: "running" in {server.task(task)["status"] for task in (early, later)}, 90, "the first")
            after = jobs(cluster)
            for task in (running, early, later):
                assert after[f"{task}.1"][0] == before[f"{task}.1"][0], (before, after)
            cluster.command("scancel", foreign[1])
            for task in (early, later):
                server.await_step(task, 2)
            for task in (running, early, later):
                assert jobs(cluster)[f"{task}.1"][0] == before[f"{task}.1"][0], (before, jobs(cluster))
                assert server.task(task)["attempt_count"] == 1
                server.stop_task(task)
            for task in (running, early, later):
                stopped = server.await_status(task, "stopped")
                assert QUIT in server.log_of(task)
                assert stopped["checkpoints"]
            until(lambda: not jobs(cluster), what="the end of the jobs")
            assert not server.tracebacks()
