"""Explain Slurm's reason codes: why a job waits, why it ended, and which job holds a GPU."""

import time
from datetime import UTC, datetime
from pathlib import Path

from api.domain.reason import Reason
from api.executors.slurm.jobs import Job
from api.executors.slurm.storage_check import UNWRITABLE, failed_storage_check

#: Prefixes of Slurm's reasons for limits that an administrator has set.
_LIMITS = ("QOS", "Assoc", "MaxGRES", "PartitionTimeLimit", "PartitionNodeLimit", "JobArrayTaskLimit", "Licenses")


#: Expected starts later than this many seconds are ignored: Slurm assumes a year for jobs without a time limit.
_LATEST_SECONDS = 90 * 86_400.0


def why_pending(job: Job) -> Reason:
    """Return why a job has not started."""
    reason, partition = job.reason, job.partition or "?"
    if reason in ("JobHeldUser", "None", ""):
        return Reason.of("it is being submitted to Slurm", "slurm_handed")
    if reason == "JobHeldAdmin":
        return Reason.of("an administrator of the cluster holds its job {job}", "slurm_held", job=job.job_id)
    if reason == "Priority":
        return Reason.of(
            "waits for {gpus} in partition {partition}: jobs with a higher priority are before it",
            "slurm_priority",
            gpus=_requested_gpus(job),
            partition=partition,
        )
    if reason == "Resources":
        return _why_short(job, partition)
    if reason.startswith(("ReqNodeNotAvail", "NodeDown", "Nodes_required", "Reserved")) or "Node" in reason[:4]:
        return Reason.of("the node that it is meant for is not available", "slurm_node")
    if reason.startswith(_LIMITS):
        return Reason.of(
            "a limit of the cluster keeps it in partition {partition}: {limit}",
            "slurm_limit",
            partition=partition,
            limit=reason,
        )
    if reason.startswith("Partition"):
        return Reason.of("partition {partition} takes no jobs now", "slurm_partition", partition=partition)
    if reason == "Dependency":
        return Reason.of("an earlier job of it has not ended yet", "slurm_dependency")
    return Reason.of("waits in Slurm: {reason}", "slurm_waits", reason=reason[:100])


def _why_short(job: Job, partition: str) -> Reason:
    if job.starts_at is None or job.starts_at > time.time() + _LATEST_SECONDS:
        return Reason.of(
            "waits for {gpus} in partition {partition}",
            "slurm_resources",
            gpus=_requested_gpus(job),
            partition=partition,
        )
    return Reason.of(
        "waits for {gpus} in partition {partition}; Slurm expects them about {time} UTC",
        "slurm_resources_until",
        gpus=_requested_gpus(job),
        partition=partition,
        time=datetime.fromtimestamp(job.starts_at, UTC).strftime("%Y-%m-%d %H:%M"),
    )


def _requested_gpus(job: Job) -> str:
    count = job.wants.rpartition(":")[2]
    return f"{count} GPU{'' if count == '1' else 's'}" if count.isdigit() else "GPUs"


def who_holds(job: Job) -> Reason:
    """Return which job holds a GPU."""
    return Reason.of("Slurm's job {job} of {user} has it", "slurm_job", job=job.job_id, user=job.user or "?")


def why_leaving(job: Job, now: float, leave_seconds: float) -> tuple[str, str] | None:
    """Return why a running job must save and end, as an outcome's reason and a sentence; None if it may continue.

    Before its time limit it has `leave_seconds` for that, or a quarter of its time if that is less.
    """
    if job.preempted_at is not None:
        return "preempted", f"Slurm's job {job.job_id} was preempted by another job"
    # The end time of an ended job is the actual one.
    if job.ends_at is None or job.starts_at is None or not job.is_running:
        return None
    if now < job.ends_at - min(leave_seconds, (job.ends_at - job.starts_at) / 4):
        return None
    until = datetime.fromtimestamp(job.ends_at, UTC).strftime("%Y-%m-%d %H:%M")
    return "time_limit", f"Slurm's job {job.job_id} had a time limit until {until} UTC and ended before it"


def how_ended(job: Job | None, directory: Path | None = None) -> tuple[str, str]:
    """Return the reason and message of an outcome that no supervisor has recorded in its directory."""
    if job is None:
        return "supervisor_lost", "Slurm no longer knows its job"
    where = f" on {', '.join(job.nodes)}" if job.nodes else ""
    states = ", ".join(sorted(job.states))
    message = f"Slurm's job {job.job_id}{where} ended as {states}"
    if job.was_lost_with_node:
        return "node_lost", f"{', '.join(job.nodes) or 'its node'} ({message})"
    if failed_storage_check(job):
        problem = "may not write to" if job.exit_code == UNWRITABLE else "does not see"
        return "storage_unseen", f"{', '.join(job.nodes) or 'its node'} {problem} {directory or 'it'} ({message})"
    if "PREEMPTED" in job.states or job.preempted_at is not None:
        return "preempted", message
    if not job.states.isdisjoint({"TIMEOUT", "DEADLINE"}):
        return "time_limit", message
    if "CANCELLED" in job.states and not job.was_requeued:
        return "job_cancelled", f"Slurm's job {job.job_id} was cancelled"
    return "supervisor_lost", f"{message}{f' with exit code {job.exit_code}' if job.exit_code else ''}"
