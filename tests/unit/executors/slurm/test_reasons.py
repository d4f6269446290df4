from dataclasses import replace
from pathlib import Path

import pytest

from api.executors.slurm.jobs import Job
from api.executors.slurm.reasons import how_ended, who_holds, why_leaving, why_pending

PENDING = Job(5, "a.1", frozenset({"PENDING"}), "Resources", user="eve", partition="gpu", wants="gres/gpu:4")


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("Resources", "waits for 4 GPUs in partition gpu"),
        ("Priority", "waits for 4 GPUs in partition gpu: jobs with a higher priority are before it"),
        ("ReqNodeNotAvail, UnavailableNodes:n1", "the node that it is meant for is not available"),
        ("QOSMaxGRESPerUser", "a limit of the cluster keeps it in partition gpu: QOSMaxGRESPerUser"),
        ("PartitionDown", "partition gpu takes no jobs now"),
        ("JobHeldAdmin", "an administrator of the cluster holds its job 5"),
        ("JobHeldUser", "it is being submitted to Slurm"),
        ("Dependency", "an earlier job of it has not ended yet"),
        ("Sunspots", "waits in Slurm: Sunspots"),
    ],
)
def test_slurms_reasons_become_sentences(reason: str, text: str) -> None:
    assert why_pending(replace(PENDING, reason=reason)).text == text


def test_expected_start_is_reported() -> None:
    found = why_pending(replace(PENDING, starts_at=1_764_000_000.0))
    assert found.text == "waits for 4 GPUs in partition gpu; Slurm expects them about 2025-11-24 16:00 UTC"


def test_holder_of_a_gpu_is_reported() -> None:
    assert who_holds(PENDING).text == "Slurm's job 5 of eve has it"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("NODE_FAIL", "node_lost"),
        ("BOOT_FAIL", "node_lost"),
        ("PREEMPTED", "preempted"),
        ("TIMEOUT", "time_limit"),
        ("DEADLINE", "time_limit"),
        ("CANCELLED", "job_cancelled"),
        ("FAILED", "supervisor_lost"),
        ("COMPLETED", "supervisor_lost"),
    ],
)
def test_end_without_an_outcome_has_slurms_cause(state: str, reason: str) -> None:
    assert how_ended(Job(5, "a.1", frozenset({state}), nodes=("n1",)))[0] == reason


@pytest.mark.parametrize(
    ("code", "message"), [(113, "n1 does not see /a (Slurm's"), (114, "n1 may not write to /a (Slurm's")]
)
def test_node_without_the_storage_is_named(code: int, message: str) -> None:
    job = Job(5, "a.1", frozenset({"FAILED"}), nodes=("n1",), exit_code=code)
    reason, why = how_ended(job, Path("/a"))
    assert (reason, why.startswith(message)) == ("storage_unseen", True)


def test_vanished_job_is_a_lost_supervisor() -> None:
    assert how_ended(None)[0] == "supervisor_lost"


RUNNING = Job(5, "a.1", frozenset({"RUNNING"}), starts_at=1000.0, ends_at=5000.0)


@pytest.mark.parametrize(
    ("seconds", "leave", "is_leaving"), [(4699, 300, False), (4700, 300, True), (4000, 9999, True)]
)
def test_job_near_its_time_limit_must_leave(seconds: float, leave: float, is_leaving: bool) -> None:
    found = why_leaving(RUNNING, seconds, leave)
    assert (found is not None and found[0] == "time_limit") is is_leaving


@pytest.mark.parametrize(
    "states", [{"NODE_FAIL", "COMPLETING"}, {"CANCELLED", "COMPLETING"}, {"RUNNING", "COMPLETING"}]
)
def test_job_ended_early_did_not_reach_its_limit(states: set[str]) -> None:
    assert why_leaving(replace(RUNNING, states=frozenset(states)), 5001.0, 300.0) is None


def test_short_job_trains_for_three_quarters_of_its_time() -> None:
    assert why_leaving(RUNNING, 3999.0, 9999.0) is None


def test_job_without_a_limit_stays_and_preempted_job_leaves() -> None:
    assert why_leaving(replace(RUNNING, ends_at=None), 1e12, 300.0) is None
    assert why_leaving(replace(RUNNING, preempted_at=1.0), 1000.0, 300.0) == (
        "preempted",
        "Slurm's job 5 was preempted by another job",
    )
