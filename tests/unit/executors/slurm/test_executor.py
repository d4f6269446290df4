"""Special cases of Slurm, simulated by a cluster in memory; tests/e2e/slurm uses a real one."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from api.executors.executor import AttemptRef, Phase, StopOrder, Submission
from api.executors.local import LocalExecutor
from api.executors.records import Heartbeats
from api.executors.slurm import cluster as cluster_module
from api.executors.slurm import executor as module
from api.executors.slurm.ending import MOST_LOST
from api.executors.slurm.executor import SlurmExecutor
from api.executors.slurm.fake import FakeCluster
from api.executors.slurm.jobs import Job

PENDING = frozenset({"PENDING"})


@pytest.fixture
def restarted(cluster: FakeCluster) -> Callable[[], SlurmExecutor]:
    """Return an executor without stored state."""
    return lambda: SlurmExecutor(cluster, LocalExecutor(node="head"), "ours", settle_seconds=0.0)


@pytest.fixture
def executor(restarted: Callable[[], SlurmExecutor]) -> SlurmExecutor:
    return restarted()


def submission(ref: AttemptRef) -> Submission:
    return Submission(ref, ("x",), Path("/"), {}, gpu_uuids=("GPU-1",), node="n1", master_port=1)


def phase(executor: SlurmExecutor, ref: AttemptRef) -> Phase:
    return executor.observe([ref])[ref.uid].phase


def write_runner(ref: AttemptRef, **record: object) -> None:
    content = {"uid": ref.uid, "fence": 1, "boot_id": "another", "node": "n1", "trainer": {"pid": 5, "start": 6}}
    (ref.directory / "runner.json").write_text(json.dumps({**content, **record}))


def test_job_is_released_once_its_number_is_stored(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.submit(submission(ref))
    assert json.loads((ref.directory / "slurm.json").read_text())["job_id"] == 1
    assert not cluster.all[1].is_held
    seen = executor.observe([ref])[ref.uid]
    assert (seen.phase, executor.why_queued(ref) is not None) == (Phase.QUEUED, True)


def test_submission_with_a_lost_answer_is_found_by_its_name(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    cluster.failing_answers = 1
    with pytest.raises(OSError, match="lost"):
        executor.submit(submission(ref))
    assert phase(executor, ref) is Phase.QUEUED
    executor.submit(submission(ref))
    assert len(cluster.all) == 1
    assert not cluster.all[1].is_held


def test_running_held_job_is_not_released_again(
    restarted: Callable[[], SlurmExecutor], cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster_module, "LIST_SECONDS", 0.0)
    executor = restarted()
    executor.submit(submission(ref))
    write_runner(ref)
    cluster.all[1] = replace(cluster.all[1], states=PENDING, reason="JobHeldUser")
    executor.observe([ref])
    assert cluster.all[1].is_held
    monkeypatch.setattr(module, "ABSENT_SECONDS", 0.0)
    executor.observe([ref])
    assert not cluster.all[1].is_held, "it has shown no sign of life for long"


def test_restarted_server_continues_a_submission(
    restarted: Callable[[], SlurmExecutor], cluster: FakeCluster, ref: AttemptRef
):
    cluster.failing_answers = 1
    with pytest.raises(OSError, match="lost"):
        restarted().submit(submission(ref))
    assert phase(restarted(), ref) is Phase.QUEUED
    assert not cluster.all[1].is_held


def test_job_lost_by_the_controller_is_submitted_again(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    executor.submit(submission(ref))
    # Its number now belongs to another job, which is not touched.
    cluster.all = {1: Job(1, "other", frozenset({"RUNNING"}))}
    assert phase(executor, ref) is Phase.RUNNING
    monkeypatch.setattr(module, "ABSENT_SECONDS", 0.0)
    assert phase(executor, ref) is Phase.ABSENT
    executor.submit(submission(ref))
    assert phase(executor, ref) is Phase.QUEUED
    assert cluster.all[1].name == "other"


def test_a_second_job_of_an_attempt_is_cancelled(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.submit(submission(ref))
    cluster.all[2] = replace(cluster.all[1], job_id=2)
    assert phase(executor, ref) is Phase.QUEUED
    assert [job.is_over for job in cluster.all.values()] == [False, True]


def test_running_job_is_selected_whatever_was_noted(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.submit(submission(ref))
    cluster.all[2] = replace(cluster.all[1], job_id=2, states=frozenset({"RUNNING"}), nodes=("n1",))
    assert phase(executor, ref) is Phase.RUNNING
    assert cluster.all[1].is_over
    assert json.loads((ref.directory / "slurm.json").read_text())["job_id"] == 2


def test_rejected_submission_listed_as_failed_is_not_an_end(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    cluster.all[1] = Job(1, ref.uid, frozenset({"FAILED"}), "BadConstraints")
    assert phase(executor, ref) is Phase.ABSENT


def test_gpus_are_those_that_slurm_assigned(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",), gpus={"n1": frozenset({1, 3})})
    write_runner(ref)
    seen = executor.observe([ref])[ref.uid]
    assert (seen.phase, seen.node, seen.gpu_indices) == (Phase.RUNNING, "n1", (1, 3))


def test_outcome_is_used_only_after_the_job_has_ended(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    write_runner(ref)
    (ref.directory / "exit.json").write_text(json.dumps({"reason": "exited", "exit_code": 0, "fence": 1}))
    assert phase(executor, ref) is Phase.RUNNING
    assert executor.survivors(ref)
    cluster.becomes(1, "COMPLETED", "COMPLETING")
    assert phase(executor, ref) is Phase.RUNNING
    cluster.becomes(1, "COMPLETED")
    assert phase(executor, ref) is Phase.ENDED
    assert not executor.survivors(ref)


@pytest.mark.parametrize(
    ("state", "reason"), [("NODE_FAIL", "node_lost"), ("PREEMPTED", "preempted"), ("FAILED", "supervisor_lost")]
)
def test_job_without_an_outcome_gets_one_behind_a_fence(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, state: str, reason: str
):
    executor.submit(submission(ref))
    cluster.becomes(1, state, nodes=("n1",))
    write_runner(ref, fence=4, last_step=12)
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert (seen.outcome.reason, seen.outcome.last_step) == (reason, 12)
    # A disconnected second supervisor checks it before it records anything.
    assert json.loads((ref.directory / "exit.json").read_text())["fence"] == 5


def test_stop_by_the_cluster_is_not_a_users_stop(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.submit(submission(ref))
    write_runner(ref)
    content = {"reason": "exited", "exit_code": 0, "fence": 1, "stop_requested": True}
    (ref.directory / "exit.json").write_text(json.dumps(content))
    cluster.becomes(1, "PREEMPTED", nodes=("n1",))
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert seen.outcome.reason == "preempted"


def test_stop_cancels_a_waiting_job(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.submit(submission(ref))
    executor.stop(ref, StopOrder())
    assert cluster.all[1].is_over
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert seen.outcome.reason == "stopped_before_start"


def test_slurm_cancels_a_job_that_does_not_stop_in_time(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    write_runner(ref)
    monkeypatch.setattr(module, "OVERDUE_SECONDS", 0.0)
    executor.stop(ref, StopOrder(None, 0.0, 0.0))
    executor.observe([ref])
    assert cluster.all[1].is_over


def test_unavailable_cluster_frees_and_ends_nothing(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    cluster.problem = OSError("gone")
    assert phase(executor, ref) is Phase.UNKNOWN
    write_runner(ref)
    assert phase(executor, ref) is Phase.RUNNING
    with pytest.raises(OSError, match="gone"):
        executor.survivors(ref)
    with pytest.raises(OSError, match="gone"):
        executor.submit(submission(replace(ref, uid="train_2.1", directory=ref.directory.parent / "2")))


def test_state_is_unknown_without_slurm_and_without_a_sign_of_life(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    executor.submit(submission(ref))
    write_runner(ref)
    cluster.problem = OSError("gone")
    monkeypatch.setattr(Heartbeats, "measure", lambda *_: 60.0)
    seen = executor.observe([ref])[ref.uid]
    assert (seen.phase, seen.age) == (Phase.UNKNOWN, 60.0)


def test_our_jobs_missing_in_the_database_are_found(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    cluster.all[2] = Job(2, "train_9.1", frozenset({"RUNNING"}), comment="another's")
    (found,) = executor.living(ref.directory, lambda uid: ref.directory if uid == ref.uid else None, tuple)
    assert (found.ref.uid, found.gpu_uuids) == (ref.uid, ("GPU-1",))


def test_an_attempt_without_gpus_stays_on_this_machine(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    local: list[Submission] = []
    monkeypatch.setattr(LocalExecutor, "submit", lambda _, given: local.append(given))
    executor.submit(replace(submission(ref), gpu_uuids=()))
    assert len(local) == 1
    assert not cluster.all


def test_one_poll_serves_a_thousand_attempts(executor: SlurmExecutor, cluster: FakeCluster, tmp_path: Path):
    refs = [AttemptRef(f"train_{n}.1", tmp_path / str(n), tmp_path / str(n)) for n in range(1000)]
    cluster.all = {n: Job(n, f"train_{n}.1", PENDING, "Resources") for n in range(1000)}
    for ref in refs:
        ref.directory.mkdir()
        (ref.directory / "slurm.json").write_text(json.dumps({"job_id": int(ref.directory.name)}))
    seen = executor.observe(refs)
    assert {each.phase for each in seen.values()} == {Phase.QUEUED}
    assert cluster.polls == 1


@pytest.mark.parametrize("state", ["CANCELLED", "NODE_FAIL"])
def test_job_removed_before_its_start_is_submitted_again(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, state: str
):
    executor.submit(submission(ref))
    cluster.becomes(1, state, nodes=("n1",))
    assert phase(executor, ref) is Phase.ABSENT
    executor.submit(submission(ref))
    assert phase(executor, ref) is Phase.QUEUED
    assert not (ref.directory / "exit.json").exists()


def test_ended_attempt_does_not_wait_for_a_controller_that_forgot_its_job(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    write_runner(ref)
    (ref.directory / "exit.json").write_text(json.dumps({"reason": "exited", "exit_code": 0, "fence": 1}))
    assert phase(executor, ref) is Phase.ENDED
    assert cluster.all[1].is_over


def test_job_that_ended_before_it_started_is_resubmitted_a_few_times(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    # A controller that reused its number mistook the other job's end for its end.
    for number in range(1, MOST_LOST + 1):
        executor.submit(submission(ref))
        cluster.becomes(number, "COMPLETED", nodes=("n1",))
        assert phase(executor, ref) is Phase.ABSENT
    executor.submit(submission(ref))
    cluster.becomes(MOST_LOST + 1, "COMPLETED", nodes=("n1",))
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert seen.outcome.reason == "could_not_start"


def test_job_with_an_error_before_its_start_is_not_resubmitted(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    cluster.becomes(1, "FAILED", nodes=("n1",))
    (ref.directory / "supervisor.log").write_text("python: not found\n")
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert seen.outcome.error is not None
    assert "python: not found" in seen.outcome.error


def test_leave_order_is_written_for_an_attempt_of_slurm(executor: SlurmExecutor, ref: AttemptRef):
    ref.directory.mkdir(parents=True)
    order = StopOrder(Path("/run/save_quit"), 300.0, 30.0)
    executor.prepare_leave(ref, order)
    assert not (ref.directory / "leave.json").exists()
    executor.submit(submission(ref))
    executor.prepare_leave(ref, order)
    written = json.loads((ref.directory / "leave.json").read_text())
    assert written == {"signal_file": "/run/save_quit", "checkpoint_seconds": 300.0, "terminate_seconds": 30.0}


def end_with_a_checkpoint(ref: AttemptRef) -> None:
    content = {"reason": "exited", "exit_code": 0, "fence": 1, "stop_requested": True}
    (ref.directory / "exit.json").write_text(json.dumps(content))


def test_attempt_near_its_time_limit_must_leave_and_ends_with_that_reason(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    now = time.time()
    cluster.becomes(1, "RUNNING", nodes=("n1",), starts_at=now - 3600, ends_at=now + 3600)
    write_runner(ref)
    assert not executor.observe([ref])[ref.uid].must_leave
    cluster.becomes(1, "RUNNING", "x", nodes=("n1",), starts_at=now - 3600, ends_at=now + 60)
    assert executor.observe([ref])[ref.uid].must_leave
    end_with_a_checkpoint(ref)
    cluster.becomes(1, "COMPLETED", nodes=("n1",))
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert seen.outcome.reason == "time_limit"


@pytest.mark.parametrize("forgets", [True, False])
def test_reason_to_leave_is_known_after_slurm_has_forgotten_the_job(
    restarted: Callable[[], SlurmExecutor], cluster: FakeCluster, ref: AttemptRef, forgets: bool
):
    executor = restarted()
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",), preempted_at=5.0)
    write_runner(ref)
    executor.observe([ref])
    end_with_a_checkpoint(ref)
    # MinJobAge expired before the next poll.
    cluster.all = {} if forgets else {1: Job(1, "another", frozenset({"RUNNING"}))}
    seen = restarted().observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert seen.outcome.reason == "preempted"


def test_finished_job_forgotten_by_slurm_ends_with_its_supervisors_outcome(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    write_runner(ref)
    (ref.directory / "exit.json").write_text(json.dumps({"reason": "exited", "exit_code": 7, "fence": 1}))
    cluster.all.clear()
    seen = executor.observe([ref])[ref.uid]
    assert (seen.phase, seen.outcome and seen.outcome.exit_code) == (Phase.ENDED, 7)
    assert not executor.survivors(ref)


def test_job_forgotten_by_slurm_without_an_outcome_ends_once_it_is_silent(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    executor.submit(submission(ref))
    write_runner(ref, last_step=9)
    cluster.all.clear()
    assert phase(executor, ref) is Phase.RUNNING
    monkeypatch.setattr(module, "ABSENT_SECONDS", 0.0)
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert (seen.outcome.reason, seen.outcome.last_step) == ("supervisor_lost", 9)


def test_attempt_on_a_silent_node_starts_nowhere_else_before_slurm_declares_it_lost(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    # Slurm waits for cred_expire, during which a disconnected node ends its jobs.
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    write_runner(ref)
    monkeypatch.setattr(Heartbeats, "measure", lambda *_: 3600.0)
    assert phase(executor, ref) is Phase.RUNNING
    assert executor.survivors(ref)
    cluster.becomes(1, "NODE_FAIL", nodes=("n1",))
    assert phase(executor, ref) is Phase.ENDED
    assert not executor.survivors(ref)
