"""Jobs that are handed to Slurm before a task has its GPUs, so that its scheduler has something to choose from.

Each has the name of the attempt that the task would begin next, and waits on its node until that is claimed and
described. Nothing is kept of them but what Slurm lists: whoever looks after the queue next finds them there.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from api.executors.executor import AheadOfTurn, GivenAhead
from api.executors.slurm.cluster import ClusterWatch
from api.executors.slurm.jobs import AHEAD, Job
from api.executors.slurm.request import describe_ahead, write_script
from api.executors.slurm.sight import write_mark
from api.executors.slurm.words import why_pending
from api.util.foreign_files import make_directory

#: Files by which an attempt is more than a name: a job that finds them begins it.
_RECORDS = ("spec.json", "runner.json", "exit.json", "slurm.json")

#: Codes of reasons that tell what nobody else knows: when GPUs are expected, and what an administrator has set.
_TELLING = frozenset({"slurm_resources_until", "slurm_limit", "slurm_held", "slurm_partition"})

#: Seconds for which a job waits on its node for the attempt that it is meant for.
WAIT_SECONDS = 120


class AheadJobs:
    """The jobs that are handed over ahead of their turn. Every call may raise OSError."""

    def __init__(self, watch: ClusterWatch, comment: str, python: str, env: Mapping[str, str]) -> None:
        self._watch = watch
        self._comment = f"{comment}{AHEAD}"
        self._python = python
        self._env = env

    def is_given_ahead(self, job: Job) -> bool:
        """Whether a job was handed over ahead of its turn."""
        return job.comment == self._comment

    def list(self) -> Mapping[str, GivenAhead]:
        """Those that wait, or have GPUs and wait for their attempt, by its uid."""
        look = self._watch.look()
        if look.problem is not None:
            raise OSError(look.problem)
        found = {}
        for name, jobs in look.jobs.items():
            live = [job for job in jobs if self.is_given_ahead(job) and not job.is_over]
            if live:
                first = min(live, key=lambda job: (job.is_pending, job.job_id))
                found[name] = self._show(first)
        return found

    def has_job(self, uid: str) -> bool:
        """Return whether Slurm has a job of this attempt that is not over, handed over ahead or not."""
        return any(not job.is_over for job in self._watch.look().jobs.get(uid, ()))

    def _show(self, job: Job) -> GivenAhead:
        node = "" if job.is_pending or not job.nodes else job.nodes[0]
        reason = why_pending(job) if job.is_pending else None
        is_news = reason is not None and reason.said.code in _TELLING
        return GivenAhead(
            number=job.job_id,
            node=node,
            gpu_indices=tuple(sorted(job.gpus.get(node, ()))),
            nodes=frozenset(each.name for each in self._watch.nodes()) - job.excluded if job.is_pending else None,
            reason=reason if is_news else None,
        )

    def hand_over(self, wanted: AheadOfTurn) -> bool:
        """Has Slurm choose GPUs for the attempt that a task would begin next; False where there is such an attempt."""
        if any(os.path.lexists(wanted.directory / name) for name in _RECORDS):
            return False
        make_directory(str(wanted.directory))
        nodes = self._watch.nodes()
        others = [node.name for node in nodes if node.name not in wanted.nodes]
        if len(others) == len(nodes):
            return False
        write_mark(wanted.directory, wanted.uid)
        script = write_script(self._python, wanted.uid, wanted.directory, WAIT_SECONDS)
        number = self._watch.submit(script, describe_ahead(wanted, self._comment, self._env, others))
        self._watch.release(number)
        return True

    def widen(self, uid: str, nodes: Collection[str]) -> None:
        """Has the job of this attempt, if it waits, begin on one of these nodes alone; its place in the queue stays."""
        others = [node.name for node in self._watch.nodes() if node.name not in nodes]
        for job in self._watch.look().jobs.get(uid, ()):
            if self.is_given_ahead(job) and job.is_pending and job.excluded != frozenset(others):
                self._watch.exclude(job.job_id, others)

    def take_back(self, uids: Sequence[str]) -> None:
        """Ends the jobs of these attempts that none has begun."""
        jobs = self._watch.look().jobs
        for job in (job for uid in uids for job in jobs.get(uid, ())):
            if self.is_given_ahead(job) and not job.is_over:
                self._watch.cancel(job)

    def give_way(self, account: object, qos: object, begun: Collection[int]) -> bool:
        """Ends the latest of these jobs that waits and counts for the same account and QOS, as far as that is known;
        False where there is none. Those whose numbers are `begun` are their attempts' by now.
        """
        waiting = [
            job
            for jobs in self._watch.look().jobs.values()
            for job in jobs
            if self.is_given_ahead(job)
            and job.is_pending
            and job.job_id not in begun
            and _may_be(job.account, account)
            and _may_be(job.qos, qos)
        ]
        if waiting:
            self._watch.cancel(max(waiting, key=lambda job: job.job_id))
        return bool(waiting)


def _may_be(known: str, wanted: object) -> bool:
    return not known or wanted is None or known == wanted


def is_described(directory: Path) -> bool:
    """Whether what an attempt is to start is written down; None of it is while a job only waits for it."""
    return os.path.lexists(directory / "spec.json")
