from pathlib import Path

from api.executors.slurm.executor import list_orphans
from api.executors.slurm.jobs import Job


def test_job_without_a_directory_or_waiting_is_not_a_living_attempt(tmp_path: Path) -> None:
    jobs = [Job(1, "gone.1", frozenset({"RUNNING"})), Job(2, "waits.1", frozenset({"PENDING"}))]
    assert not list(list_orphans(jobs, lambda uid: tmp_path if uid == "waits.1" else None))


def test_attempt_without_a_specification_is_found(tmp_path: Path) -> None:
    (found,) = list_orphans([Job(1, "a.1", frozenset({"RUNNING"}))], lambda _: tmp_path)
    assert (found.ref.uid, found.gpu_uuids, found.members) == ("a.1", (), ())
