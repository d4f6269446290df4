"""A Slurm in memory: what tests let happen to its jobs, and what it was asked for."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from api.executors.slurm.client import SlurmRefused
from api.executors.slurm.jobs import Job
from api.executors.slurm.nodes import NodeReport


class FakeCluster:
    """Keeps what it was asked for in `asked`, and its jobs in `all`."""

    def __init__(self) -> None:
        self.all: dict[int, Job] = {}
        self.asked: list[Mapping[str, object]] = []
        self.problem: OSError | None = None  #: raised by every call while it is set
        self.lost_answers = 0  #: how many answers to submissions get lost from now on
        self.machines: list[NodeReport] = []
        self.looks = 0  #: how often it was asked for all of its jobs, or their states
        self.single = 0  #: and for one
        self.user: str | None = None  #: whose jobs are handed over here
        #: The number and words with which it refuses a submission; None: it takes it.
        self.refuses: Callable[[Mapping[str, object]], tuple[int, str] | None] = lambda job: None

    # What the executor calls

    def jobs(self) -> Sequence[Job]:
        self._check()
        self.looks += 1
        return list(self.all.values())

    def states(self) -> Mapping[int, frozenset[str]]:
        self._check()
        self.looks += 1
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
        self.asked.append({"script": script, **job})
        if (refusal := self.refuses(job)) is not None:
            raise SlurmRefused(refusal[1], refusal[0])
        number = max(self.all, default=0) + 1
        held = frozenset({"PENDING"})
        made = Job(number, str(job["name"]), held, "JobHeldUser", user=self.user or "", comment=str(job["comment"]))
        self.all[number] = replace(made, excluded=frozenset(job.get("excluded_nodes", ())))  # type: ignore[call-overload]
        if self.lost_answers:
            self.lost_answers -= 1
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

    # What a test says

    def becomes(self, job_id: int, *states: str, **more: object) -> None:
        """Lets a job be in these states from now on."""
        self.all[job_id] = replace(self.all[job_id], states=frozenset(states), reason="", **more)  # type: ignore[arg-type]

    def _check(self) -> None:
        if self.problem is not None:
            raise self.problem
