"""What the cluster said at the latest look: one bulk call serves observations, nodes and questions alike."""

import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from api.domain.reason import Words
from api.executors.executor import EngineSilent, NodeState
from api.executors.slurm.client import SlurmRefused
from api.executors.slurm.jobs import Job
from api.executors.slurm.nodes import NodeReport
from api.executors.slurm.sight import StorageSight
from api.executors.slurm.words import who_holds

#: Seconds for which a look may be used again, by whoever does not observe.
FRESH_SECONDS = 1.5

#: Seconds after which a look says nothing about now.
OLD_SECONDS = 15.0


#: Seconds between two lists of all jobs, and how many jobs are rather asked for one by one.
LIST_SECONDS = 30.0
#: A list that takes long is followed by a rest so many times as long.
LIST_REST = 20.0
MOST_ASKED = 24
#: Seconds after which no further one is asked for at the same look.
ASK_SECONDS = 5.0

#: The most seconds for which a cluster that has not answered is not asked again; no more than it took to find out.
REST_SECONDS = 5.0

#: Slurm's word for a job that its owner holds.
HELD = "JobHeldUser"


class Cluster(Protocol):
    """What is asked of Slurm. Every call may raise OSError."""

    @property
    def user(self) -> str | None:
        """Whose jobs it submits, by the name that it signs in with; None where that is not known."""
        ...

    def jobs(self) -> Sequence[Job]:
        """All jobs."""
        ...

    def states(self) -> Mapping[int, frozenset[str]]:
        """The states of all jobs by number, which is quick."""
        ...

    def job(self, job_id: int) -> Job | None:
        """One job, without name and states where it cannot be read; None where there is none."""
        ...

    def nodes(self) -> Sequence[NodeReport]:
        """All machines."""
        ...

    def submit(self, script: str, job: Mapping[str, object]) -> int:
        """Hands a job over; returns its id."""
        ...

    def release(self, job_id: int) -> None:
        """Lets a held job begin."""
        ...

    def exclude(self, job_id: int, nodes: Collection[str]) -> None:
        """Has a job that waits begin on none of these nodes, and on any other."""
        ...

    def cancel(self, job_id: int) -> None:
        """Ends a job; one that has ended stays as it is."""
        ...


@dataclass(frozen=True, slots=True)
class ClusterLook:
    """The jobs of one moment. `problem` says why there are none."""

    at: float  #: monotonic
    jobs: Mapping[str, tuple[Job, ...]]  #: those of this service's user, by name
    all: tuple[Job, ...] = ()  #: everybody's
    unread: frozenset[int] = frozenset()  #: the numbers of those that cannot be read, whosever they are
    problem: str | None = None


class ClusterWatch:
    """Looks at the cluster, not more often than need be. Threads may share it.

    A list of a thousand jobs takes seconds to make; their states alone, some milliseconds. So the jobs are listed
    now and then, and in between those are asked for whose state has changed.
    """

    def __init__(self, cluster: Cluster, sight: StorageSight) -> None:
        self._cluster = cluster
        self._sight = sight
        self._lock = threading.RLock()
        self._look: ClusterLook | None = None
        self._before: ClusterLook | None = None  #: the latest, also where the next one has to be anew
        self._jobs: dict[int, Job] | None = None
        self._listed_at = 0.0  # monotonic
        self._list_took = 0.0  # seconds
        self._ask_took = 0.0  # seconds that the latest look took
        self._nodes: tuple[float, tuple[NodeState, ...]] | None = None
        self._vouched: dict[int, str] = {}  #: by number, the names of jobs that are certainly this service's
        self._users: frozenset[str] = frozenset()  #: whose those are, by Slurm's names

    def vouch(self, number: int, name: str) -> None:
        """Tells that the job of this number is this service's, as it was handed over by this name: by those it is known
        how Slurm calls the service's user, which may differ from the name that it signs in with.
        """
        self._vouched[number] = name

    def known_look(self) -> ClusterLook | None:
        """The latest look, at once, and however old; None before the first."""
        return self._look or self._before

    def look(self, fresh: bool = False) -> ClusterLook:
        """The jobs, anew where that is wanted or the latest look is old."""
        with self._lock:
            known, began = self._look, time.monotonic()
            if self._rests(began):
                return self._before or ClusterLook(began, {}, problem="it was not asked")
            if known is None or fresh or began - known.at > FRESH_SECONDS:
                known = self._look = self._before = self._ask()
                self._ask_took = known.at - began
            return known

    def _rests(self, now: float) -> bool:
        """Whether a cluster that took long to say nothing is left alone for a while: who waits, waits for all of it."""
        latest = self._before
        if latest is None or latest.problem is None:
            return False
        return now - latest.at < min(self._ask_took, REST_SECONDS)

    def list_if_due(self) -> None:
        """Lists the jobs anew where the last list is old: why they wait, and that one is to leave, changes without a
        change of their state. Raises OSError.
        """
        began = time.monotonic()
        if began - self._listed_at < min(LIST_SECONDS, LIST_REST * self._list_took):
            return
        jobs = {job.job_id: job for job in self._cluster.jobs()}
        with self._lock:
            self._jobs, self._look, self._listed_at = jobs, None, time.monotonic()
            self._list_took = self._listed_at - began

    def submit(self, script: str, job: Mapping[str, object]) -> int:
        """Hands a job over, which the next look knows. Raises OSError."""
        try:
            number = self._cluster.submit(script, job)
        except OSError as error:
            # What was not refused by name is perhaps there.
            if not isinstance(error, SlurmRefused) or error.number is None:
                with self._lock:
                    self._jobs = self._look = None
            raise
        self.vouch(number, str(job["name"]))
        with self._lock:
            if self._jobs is not None:
                held, kept_from = frozenset({"PENDING"}), job.get("excluded_nodes")
                known = Job(number, str(job["name"]), held, HELD, comment=str(job["comment"]))
                excluded = frozenset(kept_from) if isinstance(kept_from, list) else frozenset[str]()
                self._jobs[number] = replace(known, excluded=excluded)
            self._look = None
        return number

    def would_take(self, script: str, job: Mapping[str, object]) -> bool:
        """Whether Slurm takes such a job now, which is ended at once. Raises OSError where it cannot be asked."""
        try:
            number = self._cluster.submit(script, job)
        except EngineSilent:
            raise
        except OSError:
            return False
        self._cluster.cancel(number)
        return True

    def release(self, job_id: int) -> None:
        """Lets a held job begin. Raises OSError."""
        self._cluster.release(job_id)
        with self._lock:
            if self._jobs is not None and job_id in self._jobs:
                self._jobs[job_id] = replace(self._jobs[job_id], reason="")
            self._look = None

    def exclude(self, job_id: int, nodes: Collection[str]) -> None:
        """Has a job that waits begin on none of these nodes, and on any other. Raises OSError."""
        self._cluster.exclude(job_id, nodes)
        with self._lock:
            if self._jobs is not None and job_id in self._jobs:
                self._jobs[job_id] = replace(self._jobs[job_id], excluded=frozenset(nodes))
            self._look = None

    def cancel(self, job: Job) -> None:
        """Ends a job, where its number has not become another's meanwhile. Raises OSError."""
        now = self._cluster.job(job.job_id)
        # A controller that is told to end the job of another user lists nothing any more (24.11.5).
        if now is not None and now.name == job.name and self._is_own(now):
            self._cluster.cancel(job.job_id)
        with self._lock:
            if now is not None and self._jobs is not None:
                self._jobs[job.job_id] = replace(now, states=frozenset())  # it is asked for anew
            self._look = None

    def _ask(self) -> ClusterLook:
        try:
            jobs = self._jobs = self._follow(self._jobs)
        except OSError as error:
            # A controller that was away may have lost jobs, and given their numbers to others.
            self._jobs = None
            return ClusterLook(time.monotonic(), {}, problem=error.strerror or str(error))
        self._learn_users(jobs)
        found: dict[str, list[Job]] = {}
        for job in jobs.values():
            if self._is_own(job):
                found.setdefault(job.name, []).append(job)
        self._sight.heed(job for group in found.values() for job in group)
        return ClusterLook(
            time.monotonic(),
            {name: tuple(group) for name, group in found.items()},
            tuple(jobs.values()),
            frozenset(job.job_id for job in jobs.values() if not job.name),
        )

    def _learn_users(self, jobs: Mapping[int, Job]) -> None:
        own = {number: name for number, name in self._vouched.items() if number in jobs and jobs[number].name == name}
        self._users |= frozenset(jobs[number].user for number in own if jobs[number].user)
        self._vouched = own

    def _is_own(self, job: Job) -> bool:
        """Whether a job is this service's by its user: its name, and what is said of it, anybody could have copied."""
        user = self._cluster.user
        return bool(job.name) and (not job.user or user is None or job.user == user or job.user in self._users)

    def _follow(self, known: dict[int, Job] | None) -> dict[int, Job]:
        """The jobs now, by those that were known before. Raises OSError."""
        if known is not None and time.monotonic() - self._listed_at < 2 * LIST_SECONDS:
            states = self._cluster.states()
            changed = [number for number, found in states.items() if _has_changed(known.get(number), found)]
            if len(changed) <= MOST_ASKED:
                kept = {number: job for number, job in known.items() if number in states}
                return kept | self._ask_for(changed, known, states)
        jobs = {job.job_id: job for job in self._cluster.jobs()}
        self._listed_at = time.monotonic()
        return jobs

    def _ask_for(
        self, numbers: Sequence[int], known: Mapping[int, Job], states: Mapping[int, frozenset[str]]
    ) -> dict[int, Job]:
        """These jobs as they are now, as far as there is time to ask; the others have their turn at the next look."""
        give_up_at, news = time.monotonic() + ASK_SECONDS, dict[int, Job]()
        for number in numbers:
            if time.monotonic() >= give_up_at:
                break
            job = self._cluster.job(number)
            if job is not None and not (job.name and job.states):
                # What cannot be read of it is as it was, as far as that is known.
                job = replace(job if job.name else known.get(number, job), states=states[number])
            if job is not None:
                news[number] = job
        return news

    def barred(self) -> tuple[str, ...]:
        """The machines on which nothing is to be started; none where that would leave no other."""
        nodes = self.known_nodes()
        barred = tuple(node.name for node in nodes if node.bar is not None)
        return barred if len(barred) < len(nodes) else ()

    def known_nodes(self) -> tuple[NodeState, ...]:
        """The machines by the latest look, at once; unknown once that is old."""
        known = self._nodes
        if known is None or time.monotonic() - known[0] <= OLD_SECONDS:
            return () if known is None else known[1]
        return tuple(
            replace(node, state="unknown", reason="the cluster was not heard of for long") for node in known[1]
        )

    def nodes(self) -> tuple[NodeState, ...]:
        """The machines with what holds each GPU; all of them unknown while Slurm cannot be asked."""
        look = self.look()
        with self._lock:
            if self._nodes is not None and time.monotonic() - self._nodes[0] <= FRESH_SECONDS:
                return self._nodes[1]
            try:
                # Whoever does not answer is not asked twice, as each time may take its patience.
                reports = self._cluster.nodes() if look.problem is None else ()
                why, held = look.problem, _holders(look.all)
            except OSError as error:
                reports, why, held = (), error.strerror or str(error), {}
            if why is None:
                nodes = tuple(_state(node, held.get(node.name, {}), self._sight) for node in reports)
            else:
                known = () if self._nodes is None else self._nodes[1]
                nodes = tuple(replace(node, state="unknown", reason=why) for node in known)
            self._nodes = time.monotonic(), nodes
            return nodes


def _has_changed(known: Job | None, states: frozenset[str]) -> bool:
    return known is None or (bool(states) and known.states != states)


def _holders(jobs: Iterable[Job]) -> Mapping[str, Mapping[int, Words]]:
    """Whose job has each GPU, by machine and number."""
    found: dict[str, dict[int, Words]] = {}
    for job in jobs:
        if not job.is_over and any(job.gpus.values()):
            holder = who_holds(job)
            for node, gpus in job.gpus.items():
                found.setdefault(node, {}).update(dict.fromkeys(gpus, holder))
    return found


def _state(node: NodeReport, holders: Mapping[int, Words], sight: StorageSight) -> NodeState:
    return NodeState(
        name=node.name,
        state=node.state,
        reason=node.reason,
        details={"partitions": node.partitions, "features": node.features, "says": node.says},
        gpu_count=node.gpus,
        gpus_used=max(node.used_count, len(holders)),
        holders=holders,
        bar=sight.why_not(node.name),
    )
