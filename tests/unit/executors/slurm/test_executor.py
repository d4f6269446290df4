"""Traps of Slurm, each played by a cluster in memory; tests/e2e/slurm has the real one."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from api.executors.executor import AttemptRef, Phase, StopOrder, Submission
from api.executors.heartbeats import Heartbeats
from api.executors.local import LocalExecutor
from api.executors.slurm import cluster as cluster_module
from api.executors.slurm import executor as module
from api.executors.slurm.ending import MOST_LOST
from api.executors.slurm.executor import SlurmExecutor
from api.executors.slurm.fake import FakeCluster
from api.executors.slurm.jobs import Job

PENDING = frozenset({"PENDING"})


@pytest.fixture
def restarted(cluster: FakeCluster) -> Callable[[], SlurmExecutor]:
    """An executor that remembers nothing."""
    return lambda: SlurmExecutor(cluster, LocalExecutor(node="head"), "ours", settle_seconds=0.0)


@pytest.fixture
def executor(restarted: Callable[[], SlurmExecutor]) -> SlurmExecutor:
    return restarted()


def submission(ref: AttemptRef) -> Submission:
    return Submission(ref, ("x",), Path("/"), {}, gpu_uuids=("GPU-1",), node="n1", master_port=1)


def phase(executor: SlurmExecutor, ref: AttemptRef) -> Phase:
    return executor.observe([ref])[ref.uid].phase


def runs(ref: AttemptRef, **record: object) -> None:
    content = {"uid": ref.uid, "fence": 1, "boot_id": "another", "node": "n1", "trainer": {"pid": 5, "start": 6}}
    (ref.directory / "runner.json").write_text(json.dumps({**content, **record}))


def test_a_job_is_released_once_its_number_is_kept(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.submit(submission(ref))
    assert json.loads((ref.directory / "slurm.json").read_text())["job_id"] == 1
    assert not cluster.all[1].is_held
    seen = executor.observe([ref])[ref.uid]
    assert (seen.phase, executor.why_queued(ref) is not None) == (Phase.QUEUED, True)


def test_a_submission_whose_answer_is_lost_is_found_by_its_name(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    cluster.lost_answers = 1
    with pytest.raises(OSError, match="lost"):
        executor.submit(submission(ref))
    assert phase(executor, ref) is Phase.QUEUED
    executor.submit(submission(ref))
    assert len(cluster.all) == 1
    assert not cluster.all[1].is_held


def test_a_held_job_that_runs_nevertheless_is_not_started_once_more(
    restarted: Callable[[], SlurmExecutor], cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster_module, "LIST_SECONDS", 0.0)
    executor = restarted()
    executor.submit(submission(ref))
    runs(ref)
    cluster.all[1] = replace(cluster.all[1], states=PENDING, reason="JobHeldUser")
    executor.observe([ref])
    assert cluster.all[1].is_held
    monkeypatch.setattr(module, "ABSENT_SECONDS", 0.0)
    executor.observe([ref])
    assert not cluster.all[1].is_held, "nothing of it has been heard of for long"


def test_a_server_that_died_after_the_submission_goes_on_with_it(
    restarted: Callable[[], SlurmExecutor], cluster: FakeCluster, ref: AttemptRef
):
    cluster.lost_answers = 1
    with pytest.raises(OSError, match="lost"):
        restarted().submit(submission(ref))
    assert phase(restarted(), ref) is Phase.QUEUED
    assert not cluster.all[1].is_held


def test_an_acknowledged_job_that_the_controller_lost_is_submitted_again(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    executor.submit(submission(ref))
    # Its number is another's now, which is left alone.
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


def test_the_job_that_runs_is_kept_whatever_was_noted(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.submit(submission(ref))
    cluster.all[2] = replace(cluster.all[1], job_id=2, states=frozenset({"RUNNING"}), nodes=("n1",))
    assert phase(executor, ref) is Phase.RUNNING
    assert cluster.all[1].is_over
    assert json.loads((ref.directory / "slurm.json").read_text())["job_id"] == 2


def test_a_refused_submission_that_slurm_lists_as_failed_is_no_end(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    cluster.all[1] = Job(1, ref.uid, frozenset({"FAILED"}), "BadConstraints")
    assert phase(executor, ref) is Phase.ABSENT


def test_the_gpus_are_those_that_slurm_gave(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",), gpus={"n1": frozenset({1, 3})})
    runs(ref)
    seen = executor.observe([ref])[ref.uid]
    assert (seen.phase, seen.node, seen.gpu_indices) == (Phase.RUNNING, "n1", (1, 3))


def test_an_outcome_is_believed_only_once_the_job_is_over(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    runs(ref)
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
def test_the_end_of_a_job_without_an_outcome_is_recorded_behind_a_fence(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, state: str, reason: str
):
    executor.submit(submission(ref))
    cluster.becomes(1, state, nodes=("n1",))
    runs(ref, fence=4, last_step=12)
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert (seen.outcome.reason, seen.outcome.last_step) == (reason, 12)
    # A twin beyond a partition looks at it before it counts anything.
    assert json.loads((ref.directory / "exit.json").read_text())["fence"] == 5


def test_who_was_told_to_leave_by_the_cluster_was_not_stopped_by_anybody(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    runs(ref)
    content = {"reason": "exited", "exit_code": 0, "fence": 1, "stop_requested": True}
    (ref.directory / "exit.json").write_text(json.dumps(content))
    cluster.becomes(1, "PREEMPTED", nodes=("n1",))
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert seen.outcome.reason == "preempted"


def test_a_job_that_has_not_begun_is_cancelled_by_a_stop(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    executor.stop(ref, StopOrder())
    assert cluster.all[1].is_over
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert seen.outcome.reason == "stopped_before_start"


def test_what_does_not_stop_in_time_is_slurms_to_end(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    runs(ref)
    monkeypatch.setattr(module, "OVERDUE_SECONDS", 0.0)
    executor.stop(ref, StopOrder(None, 0.0, 0.0))
    executor.observe([ref])
    assert cluster.all[1].is_over


def test_a_cluster_that_does_not_answer_frees_and_ends_nothing(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    cluster.problem = OSError("gone")
    assert phase(executor, ref) is Phase.UNKNOWN
    runs(ref)
    assert phase(executor, ref) is Phase.RUNNING
    with pytest.raises(OSError, match="gone"):
        executor.survivors(ref)
    with pytest.raises(OSError, match="gone"):
        executor.submit(submission(replace(ref, uid="train_2.1", directory=ref.directory.parent / "2")))


def test_without_slurm_and_without_a_sign_of_life_nobody_knows(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    executor.submit(submission(ref))
    runs(ref)
    cluster.problem = OSError("gone")
    monkeypatch.setattr(Heartbeats, "measure", lambda *_: 60.0)
    seen = executor.observe([ref])[ref.uid]
    assert (seen.phase, seen.age) == (Phase.UNKNOWN, 60.0)


def test_jobs_of_ours_that_no_database_knows_are_found(executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef):
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


def test_one_look_serves_a_thousand_attempts(executor: SlurmExecutor, cluster: FakeCluster, tmp_path: Path):
    refs = [AttemptRef(f"train_{n}.1", tmp_path / str(n), tmp_path / str(n)) for n in range(1000)]
    cluster.all = {n: Job(n, f"train_{n}.1", PENDING, "Resources") for n in range(1000)}
    for ref in refs:
        ref.directory.mkdir()
        (ref.directory / "slurm.json").write_text(json.dumps({"job_id": int(ref.directory.name)}))
    seen = executor.observe(refs)
    assert {each.phase for each in seen.values()} == {Phase.QUEUED}
    assert cluster.looks == 1


@pytest.mark.parametrize("state", ["CANCELLED", "NODE_FAIL"])
def test_a_job_that_slurm_threw_out_before_it_began_is_handed_over_again(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, state: str
):
    executor.submit(submission(ref))
    cluster.becomes(1, state, nodes=("n1",))
    assert phase(executor, ref) is Phase.ABSENT
    executor.submit(submission(ref))
    assert phase(executor, ref) is Phase.QUEUED
    assert not (ref.directory / "exit.json").exists()


def test_what_has_ended_does_not_wait_for_a_controller_that_forgot_its_job(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    runs(ref)
    (ref.directory / "exit.json").write_text(json.dumps({"reason": "exited", "exit_code": 0, "fence": 1}))
    assert phase(executor, ref) is Phase.ENDED
    assert cluster.all[1].is_over


def test_a_job_that_is_told_to_have_ended_before_it_began_anything_is_handed_over_again_a_few_times(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    # A controller that gave its number to another took the end of that for its own.
    for number in range(1, MOST_LOST + 1):
        executor.submit(submission(ref))
        cluster.becomes(number, "COMPLETED", nodes=("n1",))
        assert phase(executor, ref) is Phase.ABSENT
    executor.submit(submission(ref))
    cluster.becomes(MOST_LOST + 1, "COMPLETED", nodes=("n1",))
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert seen.outcome.reason == "could_not_start"


def test_a_job_that_said_why_it_could_not_begin_is_not_handed_over_again(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    cluster.becomes(1, "FAILED", nodes=("n1",))
    (ref.directory / "supervisor.log").write_text("python: not found\n")
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert seen.outcome.error is not None
    assert "python: not found" in seen.outcome.error


def test_how_to_leave_is_written_for_an_attempt_that_slurm_has(executor: SlurmExecutor, ref: AttemptRef):
    ref.directory.mkdir(parents=True)
    order = StopOrder(Path("/run/save_quit"), 300.0, 30.0)
    executor.prepare_leave(ref, order)
    assert not (ref.directory / "leave.json").exists()
    executor.submit(submission(ref))
    executor.prepare_leave(ref, order)
    written = json.loads((ref.directory / "leave.json").read_text())
    assert written == {"signal_file": "/run/save_quit", "checkpoint_seconds": 300.0, "terminate_seconds": 30.0}


def leaves_with_a_checkpoint(ref: AttemptRef) -> None:
    content = {"reason": "exited", "exit_code": 0, "fence": 1, "stop_requested": True}
    (ref.directory / "exit.json").write_text(json.dumps(content))


def test_who_is_near_the_end_of_its_time_is_called_away_and_ends_by_that(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    now = time.time()
    cluster.becomes(1, "RUNNING", nodes=("n1",), starts_at=now - 3600, ends_at=now + 3600)
    runs(ref)
    assert not executor.observe([ref])[ref.uid].is_called_away
    cluster.becomes(1, "RUNNING", "x", nodes=("n1",), starts_at=now - 3600, ends_at=now + 60)
    assert executor.observe([ref])[ref.uid].is_called_away
    leaves_with_a_checkpoint(ref)
    cluster.becomes(1, "COMPLETED", nodes=("n1",))
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert seen.outcome.reason == "time_limit"


@pytest.mark.parametrize("forgets", [True, False])
def test_why_it_left_is_known_after_slurm_has_forgotten_its_job(
    restarted: Callable[[], SlurmExecutor], cluster: FakeCluster, ref: AttemptRef, forgets: bool
):
    executor = restarted()
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",), preempted_at=5.0)
    runs(ref)
    executor.observe([ref])
    leaves_with_a_checkpoint(ref)
    # MinJobAge is over before anybody looked.
    cluster.all = {} if forgets else {1: Job(1, "another", frozenset({"RUNNING"}))}
    seen = restarted().observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert seen.outcome.reason == "preempted"


def test_a_finished_job_that_slurm_forgot_ends_by_its_supervisors_word(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef
):
    executor.submit(submission(ref))
    runs(ref)
    (ref.directory / "exit.json").write_text(json.dumps({"reason": "exited", "exit_code": 7, "fence": 1}))
    cluster.all.clear()
    seen = executor.observe([ref])[ref.uid]
    assert (seen.phase, seen.outcome and seen.outcome.exit_code) == (Phase.ENDED, 7)
    assert not executor.survivors(ref)


def test_a_job_that_slurm_forgot_with_no_word_of_its_supervisor_has_ended_once_it_is_silent(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    executor.submit(submission(ref))
    runs(ref, last_step=9)
    cluster.all.clear()
    assert phase(executor, ref) is Phase.RUNNING
    monkeypatch.setattr(module, "ABSENT_SECONDS", 0.0)
    seen = executor.observe([ref])[ref.uid]
    assert seen.outcome is not None
    assert (seen.outcome.reason, seen.outcome.last_step) == ("supervisor_lost", 9)


def test_what_a_silent_machine_runs_is_begun_nowhere_else_before_slurm_gives_it_up(
    executor: SlurmExecutor, cluster: FakeCluster, ref: AttemptRef, monkeypatch: pytest.MonkeyPatch
):
    # Slurm waits for cred_expire, in which a machine that is only cut off ends what it has.
    executor.submit(submission(ref))
    cluster.becomes(1, "RUNNING", nodes=("n1",))
    runs(ref)
    monkeypatch.setattr(Heartbeats, "measure", lambda *_: 3600.0)
    assert phase(executor, ref) is Phase.RUNNING
    assert executor.survivors(ref)
    cluster.becomes(1, "NODE_FAIL", nodes=("n1",))
    assert phase(executor, ref) is Phase.ENDED
    assert not executor.survivors(ref)
