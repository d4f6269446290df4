from pathlib import Path

from api.executors.slurm.jobs import Job
from api.executors.slurm.strays import list_strays


def test_a_job_without_a_directory_or_that_waits_is_no_living_attempt(tmp_path: Path) -> None:
    jobs = [Job(1, "gone.1", frozenset({"RUNNING"})), Job(2, "waits.1", frozenset({"PENDING"}))]
    assert not list(list_strays(jobs, lambda uid: tmp_path if uid == "waits.1" else None))


def test_an_attempt_whose_description_is_gone_is_found_all_the_same(tmp_path: Path) -> None:
    (found,) = list_strays([Job(1, "a.1", frozenset({"RUNNING"}))], lambda _: tmp_path)
    assert (found.ref.uid, found.gpu_uuids, found.members) == ("a.1", (), ())
