"""A cluster administrator cancels the job of a training: it saves first, and the task reports the cause."""

from pathlib import Path

from tests.e2e.server import until
from tests.e2e.slurm.test_training import settings_of
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer
from tests.slurm_cluster import SlurmCluster

#: Like proctrack/cgroup, and unlike the linuxproc of other tests, it sends SIGTERM only to the supervisor.
SETTINGS = {"ProctrackType": "proctrack/pgid", "KillWait": "20"}


def test_training_whose_job_is_cancelled_saves_first_even_while_the_service_is_down(tmp_path: Path) -> None:
    with (
        SlurmCluster(tmp_path / "slurm", ("n1",), settings=SETTINGS) as cluster,
        TrainingServer(tmp_path / "server", **settings_of(cluster)) as server,
    ):
        task_id = server.start_task(toy(100_000, step_seconds=0.1, every=None))
        server.await_step(task_id, 3)
        (attempt,) = server.root.glob(f"**/{task_id}/attempts/1")
        until((attempt / "leave.json").exists, what="the order for a cancellation")
        server.kill()
        job = cluster.command("squeue", "-h", "-o", "%i").strip()
        cluster.command("scancel", job)
        until(lambda: not cluster.command("squeue", "-h"), what="the end of the job")
        server.start()
        task = server.await_status(task_id, "failed")
        assert (task["failure"]["code"], task["failure"]["detail"]) == (
            "job_cancelled",
            f"Slurm's job {job} was cancelled.",
        )
        assert task["checkpoints"][-1]["step"] == max(server.attempts_of(task_id)[0].steps)
        assert len(task["attempts"]) == 1
