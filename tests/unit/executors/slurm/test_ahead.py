"""What is handed to Slurm before it is an attempt, and how it becomes one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.engine import EngineWishes
from api.executors.executor import AheadOfTurn, AttemptRef, GivenAhead, Phase, StopOrder, Submission
from api.executors.local import LocalExecutor
from api.executors.slurm.executor import SlurmExecutor
from api.executors.slurm.fake import FakeCluster
from api.executors.slurm.nodes import NodeReport

UID = "train_1.1"


@pytest.fixture
def cluster() -> FakeCluster:
    made = FakeCluster()
    made.machines = [NodeReport(name, "up", ("IDLE",), None, ("gpu",), (), 2, None, 0) for name in ("n1", "n2")]
    return made


@pytest.fixture
def executor(cluster: FakeCluster) -> SlurmExecutor:
    return SlurmExecutor(cluster, LocalExecutor(node="head"), "ours", settle_seconds=0.0)


@pytest.fixture
def ref(tmp_path: Path) -> AttemptRef:
    return AttemptRef(UID, tmp_path / "train_1" / "attempts" / "1", tmp_path / "train_1" / "log")


def wish(ref: AttemptRef, *nodes: str) -> AheadOfTurn:
    ref.directory.parent.mkdir(parents=True, exist_ok=True)
    return AheadOfTurn(ref.uid, ref.directory, 1, frozenset(nodes or ("n1",)))


def submission(ref: AttemptRef) -> Submission:
    return Submission(ref, ("x",), Path("/"), {}, gpu_uuids=("GPU-1",), node="n1", master_port=1)


def phase(executor: SlurmExecutor, ref: AttemptRef) -> Phase:
    return executor.observe([ref])[ref.uid].phase


def test_slurm_may_choose_among_the_nodes_that_are_named(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    assert executor.ahead.hand_over(wish(ref))
    assert cluster.asked[0]["excluded_nodes"] == ["n2"]
    assert executor.ahead.list() == {UID: GivenAhead(1, nodes=frozenset({"n1"}))}
    assert not cluster.all[1].is_held


def test_no_job_is_handed_over_where_slurm_knows_none_of_the_nodes(executor: SlurmExecutor, ref: AttemptRef):
    assert not executor.ahead.hand_over(wish(ref, "elsewhere"))


def test_an_attempt_that_is_there_already_would_be_begun_by_such_a_job(executor: SlurmExecutor, ref: AttemptRef):
    one = wish(ref)
    ref.directory.mkdir()
    (ref.directory / "spec.json").write_text("{}")
    assert not executor.ahead.hand_over(one)


def test_where_slurm_has_given_it_gpus_is_told(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.ahead.hand_over(wish(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",), gpus={"n1": frozenset({1})})
    executor.observe([ref])
    assert executor.ahead.list() == {UID: GivenAhead(1, "n1", (1,))}


def test_an_attempt_has_a_job_until_that_is_over(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    assert not executor.ahead.has_job(UID)
    ref.directory.parent.mkdir(parents=True)
    executor.submit(submission(ref))
    assert executor.ahead.has_job(UID)
    cluster.becomes(1, "CANCELLED")
    executor.observe([ref])
    assert not executor.ahead.has_job(UID)


def test_what_is_taken_back_is_no_more(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.ahead.hand_over(wish(ref))
    executor.ahead.take_back([UID])
    assert cluster.all[1].is_over
    assert executor.ahead.list() == {}


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_claimed_attempt_is_described_to_the_job_that_waits_for_it(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, state: str
):
    executor.ahead.hand_over(wish(ref))
    cluster.becomes(1, state, nodes=("n1",))
    assert phase(executor, ref) is Phase.ABSENT
    executor.submit(submission(ref))
    assert json.loads((ref.directory / "spec.json").read_text())["uid"] == UID
    assert len(cluster.all) == 1
    assert phase(executor, ref) is (Phase.QUEUED if state == "PENDING" else Phase.RUNNING)
    written = (ref.directory / "spec.json").stat().st_mtime_ns
    executor.submit(submission(ref))
    assert (ref.directory / "spec.json").stat().st_mtime_ns == written, "the node has completed it"


def test_a_job_that_gave_up_waiting_just_then_is_followed_by_another(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.ahead.hand_over(wish(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    executor.submit(submission(ref))
    cluster.becomes(1, "COMPLETED", nodes=("n1",))
    assert phase(executor, ref) is Phase.ABSENT
    executor.submit(submission(ref))
    assert phase(executor, ref) is Phase.QUEUED


def test_a_stop_of_a_claimed_attempt_ends_the_job_that_waits(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.ahead.hand_over(wish(ref))
    executor.observe([ref])
    executor.stop(ref, StopOrder())
    assert cluster.all[1].is_over


def test_nothing_lives_of_what_only_waits_and_of_what_is_described_something_may(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.ahead.hand_over(wish(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    executor.observe([ref])
    assert executor.living(ref.directory, lambda _: ref.directory, tuple) == ()
    executor.submit(submission(ref))
    assert [each.ref.uid for each in executor.living(ref.directory, lambda _: ref.directory, tuple)] == [UID]


@pytest.mark.parametrize(
    ("starts_at", "code"), [(1_764_000_000.0, "slurm_resources_until"), (4_000_000_000.0, None), (None, None)]
)
def test_when_slurm_expects_gpus_for_it_is_told_where_it_knows(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, starts_at: float | None, code: str | None
):
    executor.ahead.hand_over(wish(ref))
    cluster.all[1] = replace(cluster.all[1], states=frozenset({"PENDING", "x"}), starts_at=starts_at)
    executor.observe([ref])
    found = executor.ahead.list()[UID].reason
    assert (found and found.said.code) == code


def test_a_job_that_waits_may_be_given_what_has_come_free_elsewhere_and_keeps_its_place(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.ahead.hand_over(wish(ref, "n2"))
    executor.ahead.widen(UID, frozenset({"n1", "n2"}))
    assert cluster.all[1].excluded == frozenset()
    assert executor.ahead.list() == {UID: GivenAhead(1, nodes=frozenset({"n1", "n2"}))}


@pytest.mark.parametrize(("wishes", "excluded"), [(None, {"n2"}), (EngineWishes(constraint="a|b"), set())])
def test_a_job_that_waited_for_another_node_begins_where_its_attempt_has_claimed_gpus(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, wishes: EngineWishes | None, excluded: set[str]
):
    executor.ahead.hand_over(wish(ref, "n2"))
    executor.submit(replace(submission(ref), wishes=wishes))
    assert cluster.all[1].excluded == excluded
    assert len(cluster.all) == 1
