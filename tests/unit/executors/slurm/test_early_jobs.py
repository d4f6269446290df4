"""Jobs submitted to Slurm before their attempts exist, and how they become attempts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.tasks.cluster_options import ClusterOptions
from api.executors.executor import AttemptRef, EarlyJob, EarlyJobRequest, Phase, StopOrder, Submission
from api.executors.local import LocalExecutor
from api.executors.slurm.executor import SlurmExecutor
from api.executors.slurm.fake import FakeCluster
from api.executors.slurm.nodes import NodeReport

UID = "train_1.1"


@pytest.fixture
def cluster() -> FakeCluster:
    made = FakeCluster()
    made.machines = [NodeReport(name, "up", ("IDLE",), None, ("gpu",), (), 2, None) for name in ("n1", "n2")]
    return made


@pytest.fixture
def executor(cluster: FakeCluster) -> SlurmExecutor:
    return SlurmExecutor(cluster, LocalExecutor(node="head"), "ours", settle_seconds=0.0)


@pytest.fixture
def ref(tmp_path: Path) -> AttemptRef:
    return AttemptRef(UID, tmp_path / "train_1" / "attempts" / "1", tmp_path / "train_1" / "log")


def request(ref: AttemptRef, *nodes: str) -> EarlyJobRequest:
    ref.directory.parent.mkdir(parents=True, exist_ok=True)
    return EarlyJobRequest(ref.uid, ref.directory, 1, frozenset(nodes or ("n1",)))


def submission(ref: AttemptRef) -> Submission:
    return Submission(ref, ("x",), Path("/"), {}, gpu_uuids=("GPU-1",), node="n1", master_port=1)


def phase(executor: SlurmExecutor, ref: AttemptRef) -> Phase:
    return executor.observe([ref])[ref.uid].phase


def test_slurm_chooses_among_the_given_nodes(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    assert executor.ahead.hand_over(request(ref))
    assert cluster.submitted[0]["excluded_nodes"] == ["n2"]
    assert executor.ahead.list() == {UID: EarlyJob(1, nodes=frozenset({"n1"}))}
    assert not cluster.all[1].is_held


def test_no_early_job_is_submitted_if_slurm_knows_none_of_the_nodes(executor: SlurmExecutor, ref: AttemptRef):
    assert not executor.ahead.hand_over(request(ref, "elsewhere"))


def test_existing_attempt_gets_no_early_job(executor: SlurmExecutor, ref: AttemptRef):
    one = request(ref)
    ref.directory.mkdir()
    (ref.directory / "spec.json").write_text("{}")
    assert not executor.ahead.hand_over(one)


def test_gpus_assigned_by_slurm_are_reported(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.ahead.hand_over(request(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",), gpus={"n1": frozenset({1})})
    executor.observe([ref])
    assert executor.ahead.list() == {UID: EarlyJob(1, "n1", (1,))}


def test_attempt_has_a_job_until_it_ends(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    assert not executor.ahead.has_job(UID)
    ref.directory.parent.mkdir(parents=True)
    executor.submit(submission(ref))
    assert executor.ahead.has_job(UID)
    cluster.becomes(1, "CANCELLED")
    executor.observe([ref])
    assert not executor.ahead.has_job(UID)


def test_cancelled_early_job_is_gone(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.ahead.hand_over(request(ref))
    executor.ahead.cancel_jobs([UID])
    assert cluster.all[1].is_over
    assert executor.ahead.list() == {}


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_claimed_attempt_is_described_to_its_waiting_job(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, state: str
):
    executor.ahead.hand_over(request(ref))
    cluster.becomes(1, state, nodes=("n1",))
    assert phase(executor, ref) is Phase.ABSENT
    executor.submit(submission(ref))
    assert json.loads((ref.directory / "spec.json").read_text())["uid"] == UID
    assert len(cluster.all) == 1
    assert phase(executor, ref) is (Phase.QUEUED if state == "PENDING" else Phase.RUNNING)
    written = (ref.directory / "spec.json").stat().st_mtime_ns
    executor.submit(submission(ref))
    assert (ref.directory / "spec.json").stat().st_mtime_ns == written, "the node has completed it"


def test_job_that_just_stopped_waiting_is_replaced(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.ahead.hand_over(request(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    executor.submit(submission(ref))
    cluster.becomes(1, "COMPLETED", nodes=("n1",))
    assert phase(executor, ref) is Phase.ABSENT
    executor.submit(submission(ref))
    assert phase(executor, ref) is Phase.QUEUED


def test_stop_of_a_claimed_attempt_cancels_its_waiting_job(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.ahead.hand_over(request(ref))
    executor.observe([ref])
    executor.stop(ref, StopOrder())
    assert cluster.all[1].is_over


def test_waiting_early_job_is_no_living_attempt(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.ahead.hand_over(request(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    executor.observe([ref])
    assert executor.living(ref.directory, lambda _: ref.directory, tuple) == ()
    executor.submit(submission(ref))
    assert [each.ref.uid for each in executor.living(ref.directory, lambda _: ref.directory, tuple)] == [UID]


@pytest.mark.parametrize(
    ("starts_at", "code"), [(1_764_000_000.0, "slurm_resources_until"), (4_000_000_000.0, None), (None, None)]
)
def test_expected_time_of_gpus_is_reported_if_known(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, starts_at: float | None, code: str | None
):
    executor.ahead.hand_over(request(ref))
    cluster.all[1] = replace(cluster.all[1], states=frozenset({"PENDING", "x"}), starts_at=starts_at)
    executor.observe([ref])
    found = executor.ahead.list()[UID].reason
    assert (found and found.said.code) == code


def test_waiting_job_can_use_newly_free_nodes_and_keeps_its_position(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.ahead.hand_over(request(ref, "n2"))
    executor.ahead.set_allowed_nodes(UID, frozenset({"n1", "n2"}))
    assert cluster.all[1].excluded == frozenset()
    assert executor.ahead.list() == {UID: EarlyJob(1, nodes=frozenset({"n1", "n2"}))}


@pytest.mark.parametrize(("cluster_options", "excluded"), [(None, {"n2"}), (ClusterOptions(constraint="a|b"), set())])
def test_waiting_job_is_restricted_to_the_claimed_node(
    executor: SlurmExecutor,
    cluster: FakeCluster,
    ref: AttemptRef,
    cluster_options: ClusterOptions | None,
    excluded: set[str],
):
    executor.ahead.hand_over(request(ref, "n2"))
    executor.submit(replace(submission(ref), cluster_options=cluster_options))
    assert cluster.all[1].excluded == excluded
    assert len(cluster.all) == 1
