"""Says in words what Slurm says by a word: why a job waits, why it has ended, and whose job holds a GPU."""

import time
from datetime import UTC, datetime
from pathlib import Path

from api.domain.reason import Reason
from api.executors.slurm.jobs import Job
from api.executors.slurm.sight import UNWRITABLE, is_blind

#: Beginnings of Slurm's words for bounds that an administrator has set.
_LIMITS = ("QOS", "Assoc", "MaxGRES", "PartitionTimeLimit", "PartitionNodeLimit", "JobArrayTaskLimit", "Licenses")


#: Seconds from now beyond which nothing is expected: of a job without a time limit Slurm counts that it lasts a year.
_LATEST_SECONDS = 90 * 86_400.0


def why_pending(job: Job) -> Reason:
    """Why a job has not begun."""
    reason, partition = job.reason, job.partition or "?"
    if reason in ("JobHeldUser", "None", ""):
        return Reason.of("it is being handed to Slurm", "slurm_handed")
    if reason == "JobHeldAdmin":
        return Reason.of("an administrator of the cluster holds its job {job}", "slurm_held", job=job.job_id)
    if reason == "Priority":
        return Reason.of(
            "waits for {gpus} in partition {partition}: jobs with a higher priority are before it",
            "slurm_priority",
            gpus=_wish(job),
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
            "waits for {gpus} in partition {partition}", "slurm_resources", gpus=_wish(job), partition=partition
        )
    return Reason.of(
        "waits for {gpus} in partition {partition}; Slurm expects them about {time} UTC",
        "slurm_resources_until",
        gpus=_wish(job),
        partition=partition,
        time=datetime.fromtimestamp(job.starts_at, UTC).strftime("%Y-%m-%d %H:%M"),
    )


def _wish(job: Job) -> str:
    count = job.wants.rpartition(":")[2]
    return f"{count} GPU{'' if count == '1' else 's'}" if count.isdigit() else "GPUs"


def who_holds(job: Job) -> Reason:
    """Whose job holds a GPU."""
    return Reason.of("Slurm's job {job} of {user} has it", "slurm_job", job=job.job_id, user=job.user or "?")


def why_leaving(job: Job, now: float, leave_seconds: float) -> tuple[str, str] | None:
    """Why a running job is to save and leave, as the reason of an outcome and a sentence; None: it may stay.

    At the end of its time limit it is given `leave_seconds` for that, or a quarter of its time if that is less.
    """
    if job.preempted_at is not None:
        return "preempted", f"Slurm's job {job.job_id} gives way to another"
    # Of one that was ended it tells when that was.
    if job.ends_at is None or job.starts_at is None or not job.is_running:
        return None
    if now < job.ends_at - min(leave_seconds, (job.ends_at - job.starts_at) / 4):
        return None
    until = datetime.fromtimestamp(job.ends_at, UTC).strftime("%Y-%m-%d %H:%M")
    return "time_limit", f"Slurm's job {job.job_id} had until {until} UTC, and left in time"


def how_ended(job: Job | None, directory: Path | None = None) -> tuple[str, str]:
    """The reason of an outcome that no supervisor has recorded in its directory, and what Slurm says of it."""
    if job is None:
        return "supervisor_lost", "Slurm does not know its job any more"
    where = f" on {', '.join(job.nodes)}" if job.nodes else ""
    states = ", ".join(sorted(job.states))
    said = f"Slurm's job {job.job_id}{where} ended as {states}"
    if job.was_given_up:
        return "node_lost", f"{', '.join(job.nodes) or 'its node'} ({said})"
    if is_blind(job):
        deed = "may not write to" if job.exit_code == UNWRITABLE else "does not see"
        return "storage_unseen", f"{', '.join(job.nodes) or 'its machine'} {deed} {directory or 'it'} ({said})"
    if "PREEMPTED" in job.states or job.preempted_at is not None:
        return "preempted", said
    if not job.states.isdisjoint({"TIMEOUT", "DEADLINE"}):
        return "time_limit", said
    if "CANCELLED" in job.states and not job.was_forgotten:
        return "job_cancelled", f"Slurm's job {job.job_id} was cancelled"
    return "supervisor_lost", f"{said}{f' with exit code {job.exit_code}' if job.exit_code else ''}"
