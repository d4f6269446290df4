"""What machines and controllers do to attempts, each played by a cluster in memory."""

import fcntl
import json
from dataclasses import replace

import pytest

from api.executors.executor import AttemptRef, Phase
from api.executors.local import LocalExecutor
from api.executors.slurm import ending
from api.executors.slurm.executor import SlurmExecutor
from api.executors.slurm.fake import FakeCluster
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
        # Somebody's scancel.
        ({"CANCELLED"}, 0, False, "exited"),
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
