"""Jobs that Slurm refuses by a limit of accounting, by what 24.11 answers with a slurmdbd behind it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from api.domain.engine import EngineWishes
from api.executors.executor import AttemptRef, EngineFull, EngineNever, EngineSilent, Phase
from api.executors.local import LocalExecutor
from api.executors.slurm import room as module
from api.executors.slurm.client import QUEUE_FULL, SlurmRefused, SlurmUnreachable
from api.executors.slurm.executor import SlurmExecutor
from api.executors.slurm.fake import FakeCluster
from api.executors.slurm.jobs import Job
from api.executors.slurm.room import OVER_LIMIT
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


def refuse_all(job: Mapping[str, object]) -> tuple[int, str]:
    return OVER_LIMIT, LIMIT


def refuse_two_gpus(job: Mapping[str, object]) -> tuple[int, str] | None:
    return (OVER_LIMIT, LIMIT) if job["tres_per_node"] == "gres/gpu:2" else None


def why(executor: SlurmExecutor, ref: AttemptRef) -> str | None:
    reason = executor.why_queued(ref)
    return None if reason is None else reason.said.code


@pytest.mark.parametrize(("number", "code"), [(OVER_LIMIT, "slurm_submit_limit"), (QUEUE_FULL, "slurm_queue_full")])
def test_one_for_which_there_is_no_room_waits_says_why_and_is_handed_over_once_there_is(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, number: int, code: str
):
    cluster.refuses = lambda job: (number, LIMIT)
    for _ in range(3):
        with pytest.raises(EngineFull, match="waits to be handed to Slurm"):
            executor.submit(submission(ref))
        assert (phase(executor, ref), why(executor, ref)) == (Phase.ABSENT, code)
    cluster.refuses = lambda job: None
    executor.submit(submission(ref))
    assert (phase(executor, ref), why(executor, ref)) == (Phase.QUEUED, "slurm_handed")
    assert [job.name for job in cluster.all.values() if job.is_pending] == [ref.uid]


def test_slurm_is_not_asked_again_at_once(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "REST_SECONDS", 60.0)
    cluster.refuses = refuse_all
    for _ in range(3):
        with pytest.raises(EngineFull):
            executor.submit(submission(ref))
    assert [job["name"] for job in cluster.asked] == [ref.uid, f"{ref.uid} room"]


def test_one_that_asks_for_too_much_is_never_taken_and_leaves_nothing_there(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    cluster.refuses = refuse_two_gpus
    wishes = EngineWishes(account="lab", qos="small", partition="gpu", time_limit=600, memory_per_gpu=64)
    with pytest.raises(EngineNever, match="accounting/QOS policy"):
        executor.submit(replace(submission(ref), gpu_uuids=("GPU-a", "GPU-b"), wishes=wishes))
    assert {number for number, job in cluster.all.items() if not job.is_over} == {900}
    offer = cluster.asked[-1]
    assert [offer[name] for name in ("account", "qos", "partition")] == ["lab", "small", "gpu"]
    # Held, and thrown out by Slurm itself where nobody ends it; nothing by which it would be taken for an attempt.
    assert (offer["hold"], offer["tres_per_node"], "memory_per_tres" in offer) == (True, "gres/gpu:1", False)
    assert time.time() < int(str(offer["deadline"])) < time.time() + 600
    assert not {offer["name"], offer["comment"]} & {ref.uid, "ours"}
    assert (phase(executor, ref), why(executor, ref)) == (Phase.ABSENT, None)


def test_what_is_refused_where_nobody_has_a_job_is_no_question_of_room(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    cluster.refuses = refuse_all
    cluster.becomes(900, "COMPLETED")
    with pytest.raises(EngineNever):
        executor.submit(submission(ref))


def test_a_cluster_that_falls_silent_meanwhile_has_refused_nothing_for_good(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    def fall_silent(job: Mapping[str, object]) -> tuple[int, str]:
        cluster.problem = SlurmUnreachable("gone")
        return OVER_LIMIT, LIMIT

    cluster.refuses = fall_silent
    with pytest.raises(EngineSilent, match="gone"):
        executor.submit(submission(ref))


def test_any_other_refusal_is_what_it_was(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    cluster.refuses = lambda job: (2066, "Invalid qos specification")
    with pytest.raises(SlurmRefused, match="Invalid qos"):
        executor.submit(submission(ref))
    assert len(cluster.asked) == 1


def test_a_refusal_does_not_have_all_jobs_listed_anew(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    listed: list[int] = []
    monkeypatch.setattr(cluster, "jobs", lambda: listed.append(1) or list(cluster.all.values()))
    cluster.refuses = refuse_all
    for _ in range(3):
        with pytest.raises(EngineFull):
            executor.submit(submission(ref))
    assert len(listed) == 1


def ahead_of(cluster: FakeCluster, number: int, **more: str) -> None:
    cluster.all[number] = replace(
        Job(number, f"train_{number}.1", frozenset({"PENDING"}), "Resources", comment="ours ahead"), **more
    )


def test_the_latest_job_that_was_handed_over_ahead_makes_room_for_one_that_has_its_gpus(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    for number in (901, 902):
        ahead_of(cluster, number, account="lab", qos="small")
    ahead_of(cluster, 903, account="lab", qos="large")
    cluster.refuses = lambda job: (OVER_LIMIT, LIMIT) if cluster.all[902].is_pending else None
    executor.submit(replace(submission(ref), wishes=EngineWishes(account="lab", qos="small")))
    assert {number for number, job in cluster.all.items() if not job.is_over} == {900, 901, 903, 904}
    assert phase(executor, ref) is Phase.QUEUED


def test_where_no_room_comes_by_that_no_other_one_is_ended_before_the_next_try(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    for number in (901, 902):
        ahead_of(cluster, number)
    cluster.refuses = refuse_all
    with pytest.raises(EngineFull):
        executor.submit(submission(ref))
    assert [number for number, job in cluster.all.items() if not job.is_over] == [900, 901]


def test_a_job_that_was_handed_over_ahead_and_is_an_attempts_by_now_makes_room_for_nobody(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    other = replace(ref, uid="train_901.1", directory=ref.directory.parent / "other")
    other.directory.mkdir(parents=True)
    ahead_of(cluster, 901)
    executor.submit(submission(other))
    cluster.refuses = refuse_all
    with pytest.raises(EngineFull):
        executor.submit(submission(ref))
    assert cluster.all[901].is_pending
