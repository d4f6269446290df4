"""A Slurm in memory: tests set the state of its jobs and read the recorded requests."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from api.executors.slurm.client import SlurmRefused
from api.executors.slurm.jobs import Job
from api.executors.slurm.nodes import NodeReport


class FakeCluster:
    """Records submissions in `submitted`, and has its jobs in `all`."""

    def __init__(self) -> None:
        self.all: dict[int, Job] = {}
        self.submitted: list[Mapping[str, object]] = []
        self.problem: OSError | None = None  #: raised by every call while it is set
        self.failing_answers = 0  #: how many of the next answers to submissions are lost
        self.machines: list[NodeReport] = []
        self.polls = 0  #: number of calls for all jobs or states
        self.single = 0  #: number of calls for one job
        self.user: str | None = None  #: the user of submitted jobs
        #: Returns the error number and message for a rejected submission; None to accept it.
        self.refuses: Callable[[Mapping[str, object]], tuple[int, str] | None] = lambda job: None

    # Called by the executor

    def jobs(self) -> Sequence[Job]:
        self._check()
        self.polls += 1
        return list(self.all.values())

    def states(self) -> Mapping[int, frozenset[str]]:
        self._check()
        self.polls += 1
        return {number: job.states for number, job in self.all.items()}

    def job(self, job_id: int) -> Job | None:
        self._check()
        self.single += 1
        return self.all.get(job_id)

    def nodes(self) -> Sequence[NodeReport]:
        self._check()
        return self.machines

    def submit(self, script: str, job: Mapping[str, object]) -> int:
        self._check()
        self.submitted.append({"script": script, **job})
        if (refusal := self.refuses(job)) is not None:
            raise SlurmRefused(refusal[1], refusal[0])
        number = max(self.all, default=0) + 1
        held = frozenset({"PENDING"})
        made = Job(number, str(job["name"]), held, "JobHeldUser", user=self.user or "", comment=str(job["comment"]))
        self.all[number] = replace(made, excluded=frozenset(job.get("excluded_nodes", ())))  # type: ignore[call-overload]
        if self.failing_answers:
            self.failing_answers -= 1
            raise OSError("the answer is lost")
        return number

    def release(self, job_id: int) -> None:
        self._check()
        self.all[job_id] = replace(self.all[job_id], reason="Resources")

    def exclude(self, job_id: int, nodes: Collection[str]) -> None:
        self._check()
        self.all[job_id] = replace(self.all[job_id], excluded=frozenset(nodes))

    def cancel(self, job_id: int) -> None:
        self._check()
        self.becomes(job_id, "CANCELLED")

    # Called by tests

    def becomes(self, job_id: int, *states: str, **more: object) -> None:
        """Set the states of a job."""
        self.all[job_id] = replace(self.all[job_id], states=frozenset(states), reason="", **more)  # type: ignore[arg-type]

    def _check(self) -> None:
        if self.problem is not None:
            raise self.problem
