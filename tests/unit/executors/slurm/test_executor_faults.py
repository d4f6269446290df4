"""What machines and controllers do to attempts, each played by a cluster in memory."""

import fcntl
import json
from dataclasses import replace

import pytest

from api.executors.executor import AttemptRef, EngineSilent, Phase, StopOrder
from api.executors.local import LocalExecutor
from api.executors.slurm import ending
from api.executors.slurm import executor as module
from api.executors.slurm.executor import SlurmExecutor
from api.executors.slurm.fake import FakeCluster
from api.executors.slurm.jobs import Job
from api.executors.slurm.nodes import NodeReport
from tests.unit.executors.slurm.test_executor import phase, runs, submission


@pytest.fixture
def executor(cluster: FakeCluster) -> SlurmExecutor:
    return SlurmExecutor(cluster, LocalExecutor(node="head"), "ours", settle_seconds=0.0)


def test_an_attempt_whose_machine_does_not_see_the_storage_ends_at_once_and_bars_that_machine(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    cluster.machines = [NodeReport(name, "up", ("IDLE",), None, ("gpu",), (), 2, None, 0) for name in ("n1", "n2")]
    executor.submit(submission(ref))
    assert (ref.directory / "uid").read_text() == "train_1.1\n"
    cluster.becomes(1, "FAILED", nodes=("n1",), exit_code=113)
    outcome = executor.observe([ref])[ref.uid].outcome
    assert outcome is not None
    assert (outcome.reason, len(cluster.all)) == ("storage_unseen", 1)
    assert (outcome.error or "").startswith(f"n1 does not see {ref.directory} (Slurm's job 1 on n1 ended as FAILED)")
    executor.look()
    assert [(node.name, node.bar is not None) for node in executor.known_nodes()] == [("n1", True), ("n2", False)]
    elsewhere = replace(ref, uid="train_1.2", directory=ref.directory.parent / "2")
    executor.submit(replace(submission(elsewhere), node=None))
    assert cluster.asked[-1]["excluded_nodes"] == ["n1"]


@pytest.mark.parametrize(("state", "is_over"), [("NODE_FAIL", False), ("FAILED", True)])
def test_a_lock_that_is_held_is_passed_over_only_where_slurm_has_seen_the_end(
    executor: SlurmExecutor,
    cluster: FakeCluster,
    ref: AttemptRef,
    state: str,
    is_over: bool,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(ending, "LOCK_SECONDS", 0.0)
    executor.submit(submission(ref))
    runs(ref)
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
        # The service's own, after a stop that took too long.
        ({"CANCELLED"}, 0, True, "exited"),
    ],
)
def test_whom_a_controller_ended_as_it_had_forgotten_that_it_ran_was_ended_by_nobody(
    executor: SlurmExecutor,
    cluster: FakeCluster,
    ref: AttemptRef,
    states: set[str],
    restarts: int,
    is_ordered: bool,
    reason: str,
):
    executor.submit(submission(ref))
    runs(ref)
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


def test_who_copies_the_name_of_an_attempt_neither_keeps_it_from_starting_nor_is_taken_for_it(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    cluster.user = "trainer"
    alien = Job(7, ref.uid, frozenset({"RUNNING"}), user="eve", comment="ours", nodes=("n1",))
    cluster.all[7] = alien
    assert phase(executor, ref) is Phase.ABSENT
    executor.submit(submission(ref))
    assert (phase(executor, ref), executor.ahead.list(), len(cluster.all)) == (Phase.QUEUED, {}, 2)
    runs(ref)
    executor.stop(ref, StopOrder())
    assert cluster.all[7] == alien
    assert executor.living(ref.directory, lambda uid: ref.directory, list) == ()


def test_a_job_of_an_attempt_that_cannot_be_read_is_unknown_and_its_attempt_neither_ended_nor_begun_anew(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "ABSENT_SECONDS", 0.0)
    executor.submit(submission(ref))
    cluster.all = {1: Job(1, "", frozenset())}
    executor = SlurmExecutor(cluster, LocalExecutor(node="head"), "ours", settle_seconds=0.0)
    seen = executor.observe([ref])[ref.uid]
    assert (seen.phase, seen.reason) == (Phase.UNKNOWN, "what Slurm says of its job 1 cannot be read")
    cluster.all = {}
    assert phase(executor, ref) is Phase.ABSENT


def test_a_submission_to_a_cluster_that_does_not_answer_was_refused_by_nobody(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    cluster.problem = OSError("gone")
    with pytest.raises(EngineSilent, match="gone"):
        executor.submit(submission(ref))


def test_a_stop_of_one_that_runs_does_not_wait_for_a_cluster_that_does_not_answer(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    runs(ref)
    phase(executor, ref)
    asked = cluster.looks
    executor.stop(ref, StopOrder())
    assert (cluster.looks, (ref.directory / "stop.json").exists()) == (asked, True)
    cluster.problem = OSError("gone")
    phase(executor, ref)
    executor.stop(ref, StopOrder(None, 0.0, 0.0))
    cluster.problem = None
    assert not cluster.all[1].is_over


def test_jobs_that_cannot_be_listed_hide_no_machines_and_are_told_of_once(
    executor: SlurmExecutor, cluster: FakeCluster, caplog: pytest.LogCaptureFixture
):
    cluster.machines = [NodeReport("n1", "up", ("IDLE",), None, ("gpu",), (), 2, None, 0)]
    executor.look()

    def fail() -> list[Job]:
        raise OSError("too slow")

    cluster.jobs = fail  # type: ignore[method-assign]
    for _ in range(3):
        executor._watch._listed_at = float("-inf")
        executor.look()
    assert [node.state for node in executor.known_nodes()] == ["up"]
    assert [record.message for record in caplog.records] == ["the jobs of the cluster cannot be listed"]
