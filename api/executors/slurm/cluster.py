"""The cluster's latest known state: one poll serves observations, node lists and queries."""

import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from api.domain.reason import ReasonOrText
from api.executors.executor import EngineUnavailable, NodeState
from api.executors.slurm.client import SlurmRefused
from api.executors.slurm.jobs import Job
from api.executors.slurm.nodes import NodeReport
from api.executors.slurm.reasons import who_holds
from api.executors.slurm.storage_check import StorageChecks

#: Seconds for which a poll's result may be reused by callers that do not observe attempts.
FRESH_SECONDS = 1.5

#: Seconds after which a poll's result says nothing about the current state.
OLD_SECONDS = 15.0


#: Seconds between two lists of all jobs.
LIST_SECONDS = 30.0
#: After a slow list, the next one waits this many times as long as the list took.
LIST_REST = 20.0
#: The most jobs that are queried one by one; with more changes all jobs are listed.
MOST_ASKED = 24
#: Seconds after which one poll queries no further jobs.
ASK_SECONDS = 5.0

#: The longest pause in seconds after a failed poll; it is also no longer than the failed poll took.
REST_SECONDS = 5.0

#: Slurm's reason for a job that its owner holds.
HELD = "JobHeldUser"


class Cluster(Protocol):
    """The calls of Slurm that this package uses. Every call may raise OSError."""

    @property
    def user(self) -> str | None:
        """The Slurm user that submits the jobs, or None if unknown."""

    def jobs(self) -> Sequence[Job]:
        """Return all jobs."""

    def states(self) -> Mapping[int, frozenset[str]]:
        """Return the states of all jobs by number, which is fast."""

    def job(self, job_id: int) -> Job | None:
        """Return one job, or None if it does not exist. An unreadable job has no name and no states."""

    def nodes(self) -> Sequence[NodeReport]:
        """Return all nodes."""

    def submit(self, script: str, job: Mapping[str, object]) -> int:
        """Submit a job; return its id."""

    def release(self, job_id: int) -> None:
        """Let a held job start."""

    def exclude(self, job_id: int, nodes: Collection[str]) -> None:
        """Exclude exactly these nodes for a waiting job."""

    def cancel(self, job_id: int) -> None:
        """Cancel a job. One that has ended does not change."""


@dataclass(frozen=True, slots=True)
class ClusterPoll:
    """The jobs at one moment. `problem` says why the poll failed."""

    at: float  #: monotonic
    jobs: Mapping[str, tuple[Job, ...]]  #: the jobs of this service's user, by name
    all: tuple[Job, ...] = ()  #: the jobs of all users
    unread: frozenset[int] = frozenset()  #: the numbers of unreadable jobs, of any user
    problem: str | None = None


class ClusterWatch:
    """Polls the cluster, no more often than needed. Threads may share it.

    A list of a thousand jobs takes seconds; their states alone take milliseconds. So all jobs are listed rarely; in
    between, only jobs whose state has changed are queried.
    """

    def __init__(self, cluster: Cluster, storage_checks: StorageChecks) -> None:
        self._cluster = cluster
        self._storage_checks = storage_checks
        self._lock = threading.RLock()
        self._latest: ClusterPoll | None = None
        self._before: ClusterPoll | None = None  #: the latest one, also if the next poll must be new
        self._jobs: dict[int, Job] | None = None
        self._listed_at = 0.0  # monotonic
        self._list_took = 0.0  # seconds
        self._poll_seconds = 0.0  # seconds that the latest poll took
        self._nodes: tuple[float, tuple[NodeState, ...]] | None = None
        self._own_names: dict[int, str] = {}  #: by number, the names of jobs that certainly belong to this service
        self._users: frozenset[str] = frozenset()  #: the Slurm users of those jobs

    def add_own_job(self, number: int, name: str) -> None:
        """Declare that the job with this number and name belongs to this service.

        The service learns from such jobs how Slurm names its user, which may differ from the sign-in name.
        """
        self._own_names[number] = name

    def known_poll(self) -> ClusterPoll | None:
        """Return the latest result immediately, however old; None before the first poll."""
        return self._latest or self._before

    def poll(self, fresh: bool = False) -> ClusterPoll:
        """Return the jobs. Poll again if `fresh` is set or the latest result is old."""
        with self._lock:
            known, began = self._latest, time.monotonic()
            if self._rests(began):
                return self._before or ClusterPoll(began, {}, problem="it was not polled yet")
            if known is None or fresh or began - known.at > FRESH_SECONDS:
                known = self._latest = self._before = self._poll_cluster()
                self._poll_seconds = known.at - began
            return known

    def _rests(self, now: float) -> bool:
        """Return whether to pause after a slow failed poll, because every caller would wait that long again."""
        latest = self._before
        if latest is None or latest.problem is None:
            return False
        return now - latest.at < min(self._poll_seconds, REST_SECONDS)

    def list_if_due(self) -> None:
        """List the jobs again if the last list is old.

        The reason why a job waits, and a coming preemption, change without a change of state. Raises OSError.
        """
        began = time.monotonic()
        if began - self._listed_at < min(LIST_SECONDS, LIST_REST * self._list_took):
            return
        jobs = {job.job_id: job for job in self._cluster.jobs()}
        with self._lock:
            self._jobs, self._latest, self._listed_at = jobs, None, time.monotonic()
            self._list_took = self._listed_at - began

    def submit(self, script: str, job: Mapping[str, object]) -> int:
        """Submit a job, so that the next poll includes it.

        Raises OSError.
        """
        try:
            number = self._cluster.submit(script, job)
        except OSError as error:
            # Unless Slurm rejected it with a number, the job may exist.
            if not isinstance(error, SlurmRefused) or error.number is None:
                with self._lock:
                    self._jobs = self._latest = None
            raise
        self.add_own_job(number, str(job["name"]))
        with self._lock:
            if self._jobs is not None:
                held, excluded_nodes = frozenset({"PENDING"}), job.get("excluded_nodes")
                known = Job(number, str(job["name"]), held, HELD, comment=str(job["comment"]))
                excluded = frozenset(excluded_nodes) if isinstance(excluded_nodes, list) else frozenset[str]()
                self._jobs[number] = replace(known, excluded=excluded)
            self._latest = None
        return number

    def would_accept(self, script: str, job: Mapping[str, object]) -> bool:
        """Return whether Slurm accepts such a job now. The job is cancelled immediately.

        Raises OSError if Slurm does not answer.
        """
        try:
            number = self._cluster.submit(script, job)
        except EngineUnavailable:
            raise
        except OSError:
            return False
        self._cluster.cancel(number)
        return True

    def release(self, job_id: int) -> None:
        """Let a held job start.

        Raises OSError.
        """
        self._cluster.release(job_id)
        with self._lock:
            if self._jobs is not None and job_id in self._jobs:
                self._jobs[job_id] = replace(self._jobs[job_id], reason="")
            self._latest = None

    def exclude(self, job_id: int, nodes: Collection[str]) -> None:
        """Exclude exactly these nodes for a waiting job.

        Raises OSError.
        """
        self._cluster.exclude(job_id, nodes)
        with self._lock:
            if self._jobs is not None and job_id in self._jobs:
                self._jobs[job_id] = replace(self._jobs[job_id], excluded=frozenset(nodes))
            self._latest = None

    def cancel(self, job: Job) -> None:
        """Cancel a job, unless its number now belongs to another job.

        Raises OSError.
        """
        now = self._cluster.job(job.job_id)
        # A controller that is asked to cancel another user's job then lists no jobs (24.11.5).
        if now is not None and now.name == job.name and self._is_own(now):
            self._cluster.cancel(job.job_id)
        with self._lock:
            if now is not None and self._jobs is not None:
                self._jobs[job.job_id] = replace(now, states=frozenset())  # so the next poll queries it
            self._latest = None

    def _poll_cluster(self) -> ClusterPoll:
        try:
            jobs = self._jobs = self._follow(self._jobs)
        except OSError as error:
            # A controller that was down may have lost jobs and reused their numbers.
            self._jobs = None
            return ClusterPoll(time.monotonic(), {}, problem=error.strerror or str(error))
        self._learn_users(jobs)
        found: dict[str, list[Job]] = {}
        for job in jobs.values():
            if self._is_own(job):
                found.setdefault(job.name, []).append(job)
        self._storage_checks.update(job for group in found.values() for job in group)
        return ClusterPoll(
            time.monotonic(),
            {name: tuple(group) for name, group in found.items()},
            tuple(jobs.values()),
            frozenset(job.job_id for job in jobs.values() if not job.name),
        )

    def _learn_users(self, jobs: Mapping[int, Job]) -> None:
        own = {number: name for number, name in self._own_names.items() if number in jobs and jobs[number].name == name}
        self._users |= frozenset(jobs[number].user for number in own if jobs[number].user)
        self._own_names = own

    def _is_own(self, job: Job) -> bool:
        """Return whether a job belongs to this service, judged by its user: anyone can copy a name or a comment."""
        user = self._cluster.user
        return bool(job.name) and (not job.user or user is None or job.user == user or job.user in self._users)

    def _follow(self, known: dict[int, Job] | None) -> dict[int, Job]:
        """Return the current jobs, based on the known ones.

        Raises OSError.
        """
        if known is not None and time.monotonic() - self._listed_at < 2 * LIST_SECONDS:
            states = self._cluster.states()
            changed = [number for number, found in states.items() if _has_changed(known.get(number), found)]
            if len(changed) <= MOST_ASKED:
                remaining = {number: job for number, job in known.items() if number in states}
                return remaining | self._query(changed, known, states)
        jobs = {job.job_id: job for job in self._cluster.jobs()}
        self._listed_at = time.monotonic()
        return jobs

    def _query(
        self, numbers: Sequence[int], known: Mapping[int, Job], states: Mapping[int, frozenset[str]]
    ) -> dict[int, Job]:
        """Return these jobs as they are now. Jobs for which there is no time are queried by the next poll."""
        give_up_at, news = time.monotonic() + ASK_SECONDS, dict[int, Job]()
        for number in numbers:
            if time.monotonic() >= give_up_at:
                break
            job = self._cluster.job(number)
            if job is not None and not (job.name and job.states):
                # Unreadable fields stay as they were, if known.
                job = replace(job if job.name else known.get(number, job), states=states[number])
            if job is not None:
                news[number] = job
        return news

    def barred(self) -> tuple[str, ...]:
        """Return the nodes where the service starts nothing; empty if that would exclude all nodes."""
        nodes = self.known_nodes()
        barred = tuple(node.name for node in nodes if node.bar is not None)
        return barred if len(barred) < len(nodes) else ()

    def known_nodes(self) -> tuple[NodeState, ...]:
        """Return the nodes from the latest poll immediately; their state is unknown once the poll is old."""
        known = self._nodes
        if known is None or time.monotonic() - known[0] <= OLD_SECONDS:
            return () if known is None else known[1]
        return tuple(
            replace(node, state="unknown", reason="the cluster has not answered for a while") for node in known[1]
        )

    def nodes(self) -> tuple[NodeState, ...]:
        """Return the nodes with the holder of each GPU. All are unknown while Slurm does not answer."""
        poll = self.poll()
        with self._lock:
            if self._nodes is not None and time.monotonic() - self._nodes[0] <= FRESH_SECONDS:
                return self._nodes[1]
            try:
                # Do not call a server again that did not answer: each call may take the full timeout.
                reports = self._cluster.nodes() if poll.problem is None else ()
                why, held = poll.problem, _holders(poll.all)
            except OSError as error:
                reports, why, held = (), error.strerror or str(error), {}
            if why is None:
                nodes = tuple(_state(node, held.get(node.name, {}), self._storage_checks) for node in reports)
            else:
                known = () if self._nodes is None else self._nodes[1]
                nodes = tuple(replace(node, state="unknown", reason=why) for node in known)
            self._nodes = time.monotonic(), nodes
            return nodes


def _has_changed(known: Job | None, states: frozenset[str]) -> bool:
    return known is None or (bool(states) and known.states != states)


def _holders(jobs: Iterable[Job]) -> Mapping[str, Mapping[int, ReasonOrText]]:
    """Return the job that holds each GPU, by node and index."""
    found: dict[str, dict[int, ReasonOrText]] = {}
    for job in jobs:
        if not job.is_over and any(job.gpus.values()):
            holder = who_holds(job)
            for node, gpus in job.gpus.items():
                found.setdefault(node, {}).update(dict.fromkeys(gpus, holder))
    return found


def _state(node: NodeReport, holders: Mapping[int, ReasonOrText], storage_checks: StorageChecks) -> NodeState:
    return NodeState(
        name=node.name,
        state=node.state,
        reason=node.reason,
        details={"partitions": node.partitions, "features": node.features, "says": node.says},
        gpu_count=node.gpus,
        holders=holders,
        bar=storage_checks.why_not(node.name),
    )
