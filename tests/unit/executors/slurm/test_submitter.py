"""Jobs that Slurm rejects because of an accounting limit, with the answers of 24.11 with slurmdbd."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from api.domain.tasks.cluster_options import ClusterOptions
from api.executors.executor import AttemptRef, EngineFull, EngineRejected, EngineUnavailable, Phase
from api.executors.local import LocalExecutor
from api.executors.slurm import submitter as module
from api.executors.slurm.client import QUEUE_FULL, SlurmRefused, SlurmUnreachable
from api.executors.slurm.executor import SlurmExecutor
from api.executors.slurm.fake import FakeCluster
from api.executors.slurm.jobs import Job
from api.executors.slurm.submitter import OVER_LIMIT
from tests.unit.executors.slurm.test_executor import phase, submission

#: The same for MaxSubmitJobs, MaxSubmitJobsPerUser and GrpSubmitJobs as for MaxTRESPerJob, MinTRESPerJob and MaxWall.
LIMIT = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"

OTHERS = Job(900, "others", frozenset({"RUNNING"}), user="bob")

Refusal = Callable[[Mapping[str, object]], tuple[int, str] | None]


@pytest.fixture
def executor(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmExecutor:
    monkeypatch.setattr(module, "REST_SECONDS", 0.0)
    cluster.all[900] = OTHERS
    return SlurmExecutor(cluster, LocalExecutor(node="head"), "ours", settle_seconds=0.0)


def reject_all(job: Mapping[str, object]) -> tuple[int, str]:
    return OVER_LIMIT, LIMIT


def reject_two_gpus(job: Mapping[str, object]) -> tuple[int, str] | None:
    return (OVER_LIMIT, LIMIT) if job["tres_per_node"] == "gres/gpu:2" else None


def why(executor: SlurmExecutor, ref: AttemptRef) -> str | None:
    reason = executor.why_queued(ref)
    return None if reason is None else reason.said.code


@pytest.mark.parametrize(("number", "code"), [(OVER_LIMIT, "slurm_submit_limit"), (QUEUE_FULL, "slurm_queue_full")])
def test_job_over_a_limit_waits_with_a_reason_and_is_submitted_later(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, number: int, code: str
):
    cluster.refuses = lambda job: (number, LIMIT)
    for _ in range(3):
        with pytest.raises(EngineFull, match="waits for submission to Slurm"):
            executor.submit(submission(ref))
        assert (phase(executor, ref), why(executor, ref)) == (Phase.ABSENT, code)
    cluster.refuses = lambda job: None
    executor.submit(submission(ref))
    assert (phase(executor, ref), why(executor, ref)) == (Phase.QUEUED, "slurm_handed")
    assert [job.name for job in cluster.all.values() if job.is_pending] == [ref.uid]


def test_slurm_is_not_called_again_immediately(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "REST_SECONDS", 60.0)
    cluster.refuses = reject_all
    for _ in range(3):
        with pytest.raises(EngineFull):
            executor.submit(submission(ref))
    assert [job["name"] for job in cluster.submitted] == [ref.uid, f"{ref.uid} room"]


def test_oversized_job_is_rejected_permanently_and_leaves_no_test_job(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    cluster.refuses = reject_two_gpus
    cluster_options = ClusterOptions(account="lab", qos="small", partition="gpu", time_limit=600, memory_per_gpu=64)
    with pytest.raises(EngineRejected, match="accounting/QOS policy"):
        executor.submit(replace(submission(ref), gpu_uuids=("GPU-a", "GPU-b"), cluster_options=cluster_options))
    assert {number for number, job in cluster.all.items() if not job.is_over} == {900}
    offer = cluster.submitted[-1]
    assert [offer[name] for name in ("account", "qos", "partition")] == ["lab", "small", "gpu"]
    # Held, removed by Slurm itself at its deadline, and not recognisable as an attempt.
    assert (offer["hold"], offer["tres_per_node"], "memory_per_tres" in offer) == (True, "gres/gpu:1", False)
    assert time.time() < int(str(offer["deadline"])) < time.time() + 600
    assert not {offer["name"], offer["comment"]} & {ref.uid, "ours"}
    assert (phase(executor, ref), why(executor, ref)) == (Phase.ABSENT, None)


def test_rejection_without_other_jobs_is_permanent(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    cluster.refuses = reject_all
    cluster.becomes(900, "COMPLETED")
    with pytest.raises(EngineRejected):
        executor.submit(submission(ref))


def test_cluster_that_stops_answering_has_rejected_nothing_permanently(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    def stop_answering(job: Mapping[str, object]) -> tuple[int, str]:
        cluster.problem = SlurmUnreachable("gone")
        return OVER_LIMIT, LIMIT

    cluster.refuses = stop_answering
    with pytest.raises(EngineUnavailable, match="gone"):
        executor.submit(submission(ref))


def test_other_rejections_are_unchanged(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    cluster.refuses = lambda job: (2066, "Invalid qos specification")
    with pytest.raises(SlurmRefused, match="Invalid qos"):
        executor.submit(submission(ref))
    assert len(cluster.submitted) == 1


def test_rejection_does_not_cause_a_new_job_list(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    listed: list[int] = []
    monkeypatch.setattr(cluster, "jobs", lambda: listed.append(1) or list(cluster.all.values()))
    cluster.refuses = reject_all
    for _ in range(3):
        with pytest.raises(EngineFull):
            executor.submit(submission(ref))
    assert len(listed) == 1


def submit_early(cluster: FakeCluster, number: int, **more: str) -> None:
    cluster.all[number] = replace(
        Job(number, f"train_{number}.1", frozenset({"PENDING"}), "Resources", comment="ours ahead"), **more
    )


def test_latest_early_job_is_cancelled_for_an_attempt_with_gpus(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    for number in (901, 902):
        submit_early(cluster, number, account="lab", qos="small")
    submit_early(cluster, 903, account="lab", qos="large")
    cluster.refuses = lambda job: (OVER_LIMIT, LIMIT) if cluster.all[902].is_pending else None
    executor.submit(replace(submission(ref), cluster_options=ClusterOptions(account="lab", qos="small")))
    assert {number for number, job in cluster.all.items() if not job.is_over} == {900, 901, 903, 904}
    assert phase(executor, ref) is Phase.QUEUED


def test_no_second_early_job_is_cancelled_before_the_next_try(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    for number in (901, 902):
        submit_early(cluster, number)
    cluster.refuses = reject_all
    with pytest.raises(EngineFull):
        executor.submit(submission(ref))
    assert [number for number, job in cluster.all.items() if not job.is_over] == [900, 901]


def test_early_job_that_became_an_attempt_is_not_cancelled(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    other = replace(ref, uid="train_901.1", directory=ref.directory.parent / "other")
    other.directory.mkdir(parents=True)
    submit_early(cluster, 901)
    executor.submit(submission(other))
    cluster.refuses = reject_all
    with pytest.raises(EngineFull):
        executor.submit(submission(ref))
    assert cluster.all[901].is_pending
