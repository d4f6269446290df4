"""Failures of nodes and controllers, simulated by a cluster in memory."""

import fcntl
import json
from dataclasses import replace

import pytest

from api.executors.executor import AttemptRef, EngineUnavailable, Phase, StopOrder
from api.executors.local import LocalExecutor
from api.executors.slurm import ending
from api.executors.slurm import executor as module
from api.executors.slurm.executor import SlurmExecutor
from api.executors.slurm.fake import FakeCluster
from api.executors.slurm.jobs import Job
from api.executors.slurm.nodes import NodeReport
from tests.unit.executors.slurm.test_executor import phase, submission, write_runner


@pytest.fixture
def executor(cluster: FakeCluster) -> SlurmExecutor:
    return SlurmExecutor(cluster, LocalExecutor(node="head"), "ours", settle_seconds=0.0)


def test_attempt_on_a_node_without_the_storage_ends_immediately_and_excludes_the_node(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    cluster.machines = [NodeReport(name, "up", ("IDLE",), None, ("gpu",), (), 2, None) for name in ("n1", "n2")]
    executor.submit(submission(ref))
    assert (ref.directory / "uid").read_text() == "train_1.1\n"
    cluster.becomes(1, "FAILED", nodes=("n1",), exit_code=113)
    outcome = executor.observe([ref])[ref.uid].outcome
    assert outcome is not None
    assert (outcome.reason, len(cluster.all)) == ("storage_unseen", 1)
    assert (outcome.error or "").startswith(f"n1 does not see {ref.directory} (Slurm's job 1 on n1 ended as FAILED)")
    executor.poll()
    assert [(node.name, node.bar is not None) for node in executor.known_nodes()] == [("n1", True), ("n2", False)]
    elsewhere = replace(ref, uid="train_1.2", directory=ref.directory.parent / "2")
    executor.submit(replace(submission(elsewhere), node=None))
    assert cluster.submitted[-1]["excluded_nodes"] == ["n1"]


@pytest.mark.parametrize(("state", "is_over"), [("NODE_FAIL", False), ("FAILED", True)])
def test_held_lock_is_ignored_only_if_slurm_has_seen_the_end(
    executor: SlurmExecutor,
    cluster: FakeCluster,
    ref: AttemptRef,
    state: str,
    is_over: bool,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(ending, "LOCK_SECONDS", 0.0)
    executor.submit(submission(ref))
    write_runner(ref)
    cluster.becomes(1, state, nodes=("n1",))
    with (ref.directory / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert phase(executor, ref) is Phase.UNKNOWN
        assert (phase(executor, ref) is Phase.ENDED) is is_over
    assert phase(executor, ref) is Phase.ENDED


@pytest.mark.parametrize(
    ("states", "restarts", "is_ordered", "reason"),
    [
        ({"CANCELLED"}, 1, False, "job_lost"),
        ({"PENDING"}, 0, False, "job_lost"),
        (set(), 0, False, "job_lost"),
        ({"CANCELLED"}, 1, True, "exited"),
        ({"CANCELLED"}, 0, False, "job_cancelled"),
        # The service's own cancellation, after a stop that took too long.
        ({"CANCELLED"}, 0, True, "exited"),
    ],
)
def test_job_ended_by_a_forgetful_controller_was_not_cancelled_by_a_user(
    executor: SlurmExecutor,
    cluster: FakeCluster,
    ref: AttemptRef,
    states: set[str],
    restarts: int,
    is_ordered: bool,
    reason: str,
):
    executor.submit(submission(ref))
    write_runner(ref)
    content = {"reason": "exited", "signal": 15, "fence": 1, "stop_requested": True, "stop_rung": "terminate"}
    (ref.directory / "exit.json").write_text(json.dumps(content))
    if is_ordered:
        (ref.directory / "stop.json").write_text("{}")
    cluster.becomes(1, *states, restarts=restarts)
    if not states:
        cluster.all.clear()
    outcome = executor.observe([ref])[ref.uid].outcome
    assert outcome is not None
    assert outcome.reason == reason


def test_copied_job_name_neither_blocks_an_attempt_nor_counts_as_it(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    cluster.user = "trainer"
    alien = Job(7, ref.uid, frozenset({"RUNNING"}), user="eve", comment="ours", nodes=("n1",))
    cluster.all[7] = alien
    assert phase(executor, ref) is Phase.ABSENT
    executor.submit(submission(ref))
    assert (phase(executor, ref), executor.ahead.list(), len(cluster.all)) == (Phase.QUEUED, {}, 2)
    write_runner(ref)
    executor.stop(ref, StopOrder())
    assert cluster.all[7] == alien
    assert executor.living(ref.directory, lambda uid: ref.directory, list) == ()


def test_unreadable_job_is_unknown_and_its_attempt_neither_ended_nor_restarted(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "ABSENT_SECONDS", 0.0)
    executor.submit(submission(ref))
    cluster.all = {1: Job(1, "", frozenset())}
    executor = SlurmExecutor(cluster, LocalExecutor(node="head"), "ours", settle_seconds=0.0)
    seen = executor.observe([ref])[ref.uid]
    assert (seen.phase, seen.reason) == (Phase.UNKNOWN, "Slurm's data about its job 1 cannot be read")
    cluster.all = {}
    assert phase(executor, ref) is Phase.ABSENT


def test_submission_to_an_unavailable_cluster_was_not_rejected(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    cluster.problem = OSError("gone")
    with pytest.raises(EngineUnavailable, match="gone"):
        executor.submit(submission(ref))


def test_stop_of_a_running_attempt_does_not_wait_for_an_unavailable_cluster(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    write_runner(ref)
    phase(executor, ref)
    submitted = cluster.polls
    executor.stop(ref, StopOrder())
    assert (cluster.polls, (ref.directory / "stop.json").exists()) == (submitted, True)
    cluster.problem = OSError("gone")
    phase(executor, ref)
    executor.stop(ref, StopOrder(None, 0.0, 0.0))
    cluster.problem = None
    assert not cluster.all[1].is_over


def test_failing_job_list_hides_no_nodes_and_is_logged_once(
    executor: SlurmExecutor, cluster: FakeCluster, caplog: pytest.LogCaptureFixture
):
    cluster.machines = [NodeReport("n1", "up", ("IDLE",), None, ("gpu",), (), 2, None)]
    executor.poll()

    def fail() -> list[Job]:
        raise OSError("too slow")

    cluster.jobs = fail  # type: ignore[method-assign]
    for _ in range(3):
        executor._watch._listed_at = float("-inf")
        executor.poll()
    assert [node.state for node in executor.known_nodes()] == ["up"]
    assert [record.message for record in caplog.records] == ["the jobs of the cluster cannot be listed"]
