"""Jobs submitted to Slurm before a task has its GPUs, so that Slurm's scheduler can choose them.

Each has the name of the attempt that the task would start next. It waits on its node until that attempt is claimed and
described. They are stored only in Slurm's list of jobs.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from api.executors.executor import EarlyJob, EarlyJobRequest
from api.executors.slurm.cluster import ClusterWatch
from api.executors.slurm.jobs import EARLY_SUFFIX, Job
from api.executors.slurm.reasons import why_pending
from api.executors.slurm.request import describe_early_job, write_script
from api.executors.slurm.storage_check import write_mark
from api.util.files.foreign_files import make_directory

#: Files of an attempt that is more than a name: a job that finds them starts it.
_RECORDS = ("spec.json", "runner.json", "exit.json", "slurm.json")

#: Codes of reasons with information that only Slurm has: expected times and an administrator's settings.
_INFORMATIVE = frozenset({"slurm_resources_until", "slurm_limit", "slurm_held", "slurm_partition"})

#: Seconds that a job waits on its node for its attempt.
WAIT_SECONDS = 120


class EarlyJobs:
    """The jobs submitted early. Every call may raise OSError."""

    def __init__(self, watch: ClusterWatch, comment: str, python: str, env: Mapping[str, str]) -> None:
        self._watch = watch
        self._comment = f"{comment}{EARLY_SUFFIX}"
        self._python = python
        self._env = env

    def is_early(self, job: Job) -> bool:
        """Return whether a job was submitted early."""
        return job.comment == self._comment

    def list(self) -> Mapping[str, EarlyJob]:
        """Return the early jobs that wait for GPUs, or for their attempt, by its uid."""
        poll = self._watch.poll()
        if poll.problem is not None:
            raise OSError(poll.problem)
        found = {}
        for name, jobs in poll.jobs.items():
            live = [job for job in jobs if self.is_early(job) and not job.is_over]
            if live:
                first = min(live, key=lambda job: (job.is_pending, job.job_id))
                found[name] = self._show(first)
        return found

    def has_job(self, uid: str) -> bool:
        """Return whether Slurm has an unfinished job of this attempt, submitted early or not."""
        return any(not job.is_over for job in self._watch.poll().jobs.get(uid, ()))

    def _show(self, job: Job) -> EarlyJob:
        node = "" if job.is_pending or not job.nodes else job.nodes[0]
        reason = why_pending(job) if job.is_pending else None
        is_news = reason is not None and reason.said.code in _INFORMATIVE
        return EarlyJob(
            number=job.job_id,
            node=node,
            gpu_indices=tuple(sorted(job.gpus.get(node, ()))),
            nodes=frozenset(each.name for each in self._watch.nodes()) - job.excluded if job.is_pending else None,
            reason=reason if is_news else None,
        )

    def hand_over(self, wanted: EarlyJobRequest) -> bool:
        """Let Slurm choose GPUs for the next attempt of a task. Return False if the attempt already exists."""
        if any(os.path.lexists(wanted.directory / name) for name in _RECORDS):
            return False
        make_directory(str(wanted.directory))
        nodes = self._watch.nodes()
        others = [node.name for node in nodes if node.name not in wanted.nodes]
        if len(others) == len(nodes):
            return False
        write_mark(wanted.directory, wanted.uid)
        script = write_script(self._python, wanted.uid, wanted.directory, WAIT_SECONDS)
        number = self._watch.submit(script, describe_early_job(wanted, self._comment, self._env, others))
        self._watch.release(number)
        return True

    def set_allowed_nodes(self, uid: str, nodes: Collection[str]) -> None:
        """Restrict the waiting job of this attempt to these nodes. It keeps its position in the queue."""
        others = [node.name for node in self._watch.nodes() if node.name not in nodes]
        for job in self._watch.poll().jobs.get(uid, ()):
            if self.is_early(job) and job.is_pending and job.excluded != frozenset(others):
                self._watch.exclude(job.job_id, others)

    def cancel_jobs(self, uids: Sequence[str]) -> None:
        """Cancel the jobs of these attempts that have not started one."""
        jobs = self._watch.poll().jobs
        for job in (job for uid in uids for job in jobs.get(uid, ())):
            if self.is_early(job) and not job.is_over:
                self._watch.cancel(job)

    def give_way(self, account: object, qos: object, started: Collection[int]) -> bool:
        """Cancel the latest waiting early job that may count for the same account and QOS.

        Jobs whose numbers are in `started` already belong to attempts. Returns False if there is no such job.
        """
        waiting = [
            job
            for jobs in self._watch.poll().jobs.values()
            for job in jobs
            if self.is_early(job)
            and job.is_pending
            and job.job_id not in started
            and _may_be(job.account, account)
            and _may_be(job.qos, qos)
        ]
        if waiting:
            self._watch.cancel(max(waiting, key=lambda job: job.job_id))
        return bool(waiting)


def _may_be(known: str, wanted: object) -> bool:
    return not known or wanted is None or known == wanted


def has_spec(directory: Path) -> bool:
    """Return whether the attempt's specification exists. It does not while a job only waits for the attempt."""
    return os.path.lexists(directory / "spec.json")
