"""The first tasks of the queue, submitted to a cluster ahead of their GPUs.

A cluster with other users gives free GPUs to its own waiting jobs. So the first tasks of this queue wait there, too.
They remain tasks of this queue: each pass still applies order, stops, holds and quotas, and withdraws tasks that are no
longer among the first. A task is claimed, with leases, once the cluster has given it GPUs.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from api.domain.machines.gpu import GPUOffer, GPUStatus
from api.domain.reason import Reason, code_of
from api.domain.tasks.cluster_options import ClusterOptions
from api.domain.tasks.training import TaskSummary
from api.executors.executor import EarlyJob, EarlyJobRequest, EngineQueue
from api.files.task_files import TaskFiles
from api.training.records.status_changes import attempt_uid
from api.util.clock import Clock

logger = logging.getLogger(__name__)

#: Seconds for which claims of given GPUs are retried, because a former holder's lease may still be draining.
CLAIM_SECONDS = 60.0

#: Seconds for which a job keeps unusable GPUs. A node may return soon, and a lease may move to the GPU on which the
#: cluster runs its attempt.
UNUSABLE_SECONDS = 5.0

#: Seconds for which a task whose GPUs could not be claimed is not submitted again.
REST_SECONDS = 120.0

#: Code of the reason of a GPU that a job of the cluster has.
CLUSTER_JOB = "slurm_job"

#: Starts a task on GPUs. Returns whether it succeeded.
Claim = Callable[[TaskSummary, Sequence[GPUOffer]], bool]

_Candidate = tuple[int, EarlyJobRequest]  # with its level


@dataclass(frozen=True, slots=True)
class Engine:
    """What a window needs from the cluster. `machines` is the number of GPUs of each node, by name."""

    queue: EngineQueue
    started: Callable[[], Collection[str]]  #: uids of started attempts that have not ended
    starting: Callable[[], Collection[str]]  #: uids of those with GPUs that have not been observed running
    machines: Callable[[], Mapping[str, int | None]]
    options: Callable[[], Mapping[str, ClusterOptions]]


class ClusterWindow:
    """Submits the first tasks of the queue to the cluster. One thread calls `update`."""

    def __init__(self, engine: Engine, size: int, files: Callable[[str], TaskFiles], clock: Clock) -> None:
        """Create the window. `size` is the number of tasks that wait there at a time; 0 submits none."""
        self._engine = engine
        self._size = size
        self._files = files
        self._clock = clock
        self._given_since: dict[str, float] = {}  #: monotonic time since when an attempt has GPUs there, by uid
        self._unusable_since: dict[str, float] = {}  #: monotonic time since when it cannot use them
        self._rests_until: dict[str, float] = {}
        self._reasons: Mapping[str, Reason] = {}
        #: Whether jobs may wait there. True at first, because a previous server may have left some.
        self.is_open = True

    def why(self, task: TaskSummary) -> Reason | None:
        """Return the cluster's last reason why a task waits, or None if it has not been submitted or gives none."""
        return self._reasons.get(_uid(task))

    def update(
        self,
        short: Sequence[TaskSummary],
        offers: Sequence[GPUOffer],
        nodes_of: Mapping[str, frozenset[str]],
        claim: Claim,
    ) -> int:
        """Update the window once. Return the number of started tasks.

        `short` are the tasks that only lack GPUs, in order. `claim` starts a task on GPUs.
        """
        try:
            return self._update(short, offers, nodes_of, claim)
        except OSError as error:
            # The next pass retries. Jobs stay there until then.
            self._reasons = {}
            logger.info(
                "cannot submit tasks to the cluster ahead of their GPUs",
                extra={"problem": error.strerror or str(error)},
            )
            return 0

    def _update(
        self,
        short: Sequence[TaskSummary],
        offers: Sequence[GPUOffer],
        nodes_of: Mapping[str, frozenset[str]],
        claim: Claim,
    ) -> int:
        waiting = dict(self._engine.queue.list())
        for uid in self._engine.started() if waiting else ():
            # Its job belongs to the started attempt now.
            waiting.pop(uid, None)
        self._reasons = {uid: given.reason for uid, given in waiting.items() if given.reason is not None}
        tasks = {_uid(task): task for task in short}
        started = {
            uid for uid, given in waiting.items() if given.node and self._begin(tasks.get(uid), given, offers, claim)
        }
        for uid in started:
            del waiting[uid]
        self._withdraw_late(waiting)
        # Among equal levels, tasks that already wait there come first. A resubmitted one would wait behind all
        # other jobs.
        line = sorted(short, key=lambda task: (-task.level, _uid(task) not in waiting))
        chosen = self._choose([task for task in line if _uid(task) not in started], offers, nodes_of)
        self._arrange(chosen, waiting, offers)
        self.is_open = bool(waiting) or bool(chosen)
        return len(started)

    def _begin(
        self,
        task: TaskSummary | None,
        given: EarlyJob,
        offers: Sequence[GPUOffer],
        claim: Claim,
    ) -> bool:
        gpus = [offer for offer in offers if offer.node == given.node and offer.index in given.gpu_indices]
        if task is None or len(gpus) != task.gpu_count:
            return False
        return claim(task, gpus)

    def _withdraw_late(self, waiting: dict[str, EarlyJob]) -> None:
        """Give back GPUs that cannot be claimed."""
        now = self._clock.monotonic()
        given = {uid for uid, found in waiting.items() if found.node}
        self._given_since = {uid: self._given_since.get(uid, now) for uid in given}
        self._rests_until = {uid: until for uid, until in self._rests_until.items() if until > now}
        late = [uid for uid in given if now - self._given_since[uid] >= CLAIM_SECONDS]
        for uid in late:
            self._rests_until[uid] = now + REST_SECONDS
            del waiting[uid]
        if late:
            logger.warning("GPUs that the cluster gave ahead cannot be claimed", extra={"attempts": late})
            self._engine.queue.cancel_jobs(late)

    def _choose(
        self, short: Sequence[TaskSummary], offers: Sequence[GPUOffer], nodes_of: Mapping[str, frozenset[str]]
    ) -> list[_Candidate]:
        """Return the first tasks for which the cluster can choose GPUs, each with its level."""
        ready, options = self._ready(offers) if self._size else {}, self._engine.options()
        found: list[_Candidate] = []
        for task in short:
            if len(found) == self._size:
                break
            uid, bound = _uid(task), nodes_of.get(task.task_id)
            nodes = frozenset(
                node
                for node, gpus in ready.items()
                if (bound is None or node in bound) and _serve(gpus, task) and len(gpus) >= task.gpu_count
            )
            # A job cannot request specific GPUs of a node.
            if nodes and not task.gpus.references and uid not in self._rests_until:
                directory = self._files(task.task_id).attempts / str(task.attempts + 1)
                one = EarlyJobRequest(uid, directory, task.gpu_count, nodes, options.get(task.task_id))
                found.append((task.level, one))
        return found

    def _ready(self, offers: Sequence[GPUOffer]) -> dict[str, list[GPUOffer]]:
        """Return the nodes of which the cluster may give every GPU, because it cannot exclude single ones."""
        by_node: dict[str, list[GPUOffer]] = {}
        for offer in offers:
            by_node.setdefault(offer.node, []).append(offer)
        counts = self._engine.machines()
        return {
            node: gpus
            for node, gpus in by_node.items()
            if len(gpus) == counts.get(node) and all(map(_may_be_given, gpus))
        }

    def _arrange(
        self, chosen: Sequence[_Candidate], waiting: Mapping[str, EarlyJob], offers: Sequence[GPUOffer]
    ) -> None:
        """Make exactly these tasks wait there, each behind those of a higher level."""
        staying, unusable = set[str](), self._find_unusable(chosen, waiting, offers)
        positions: list[tuple[int, float]] = []  # level and position there of each task so far
        for level, one in chosen:
            known = waiting.get(one.uid)
            behind = max((position for higher, position in positions if higher > level), default=0)
            if known is not None and one.uid not in unusable and (known.node or known.number > behind):
                staying.add(one.uid)
                if not known.node and known.nodes is not None and known.nodes != one.nodes:
                    self._engine.queue.set_allowed_nodes(one.uid, one.nodes)
                positions.append((level, 0 if known.node else known.number))
            else:
                positions.append((level, float("inf")))
        dropped = [uid for uid in waiting if uid not in staying]
        if dropped:
            self._engine.queue.cancel_jobs(dropped)
        fresh = [one for _, one in chosen if one.uid not in staying]
        # A job submitted now could take the GPUs of a claimed attempt whose job has not been submitted yet.
        if fresh and all(map(self._engine.queue.has_job, self._engine.starting())):
            for one in fresh:
                self._submit(one)

    def _find_unusable(
        self, chosen: Sequence[_Candidate], waiting: Mapping[str, EarlyJob], offers: Sequence[GPUOffer]
    ) -> set[str]:
        """Return the uids whose jobs have GPUs that they cannot use.

        Such GPUs are on a node that lost its storage, or leased to another task that waits for them.
        """
        now = self._clock.monotonic()
        leased = {(gpu.node, gpu.index): gpu.held_by for gpu in offers if gpu.status is not GPUStatus.DRAINING}
        unusable = set[str]()
        for one in (one for _, one in chosen if one.uid in waiting and waiting[one.uid].node):
            given = waiting[one.uid]
            holders = {leased.get((given.node, index)) for index in given.gpu_indices}
            if given.node not in one.nodes or holders - {None, one.uid.rpartition(".")[0]}:
                unusable.add(one.uid)
        self._unusable_since = {uid: self._unusable_since.get(uid, now) for uid in unusable}
        return {uid for uid in unusable if now - self._unusable_since[uid] >= UNUSABLE_SECONDS}

    def _submit(self, one: EarlyJobRequest) -> None:
        """Submit one task. If the cluster rejects it, other tasks come first for a while."""
        try:
            is_accepted, problem = self._engine.queue.hand_over(one), None
        except OSError as error:
            is_accepted, problem = False, error.strerror or str(error)
        if not is_accepted:
            self._rests_until[one.uid] = self._clock.monotonic() + REST_SECONDS
        extra = {"attempt": one.uid, "problem": problem}
        logger.info(
            "submitted to the cluster ahead of its GPUs" if is_accepted else "the cluster rejected it", extra=extra
        )


def _uid(task: TaskSummary) -> str:
    """Return the uid of a task's next attempt."""
    return attempt_uid(task.task_id, task.attempts + 1)


def _may_be_given(offer: GPUOffer) -> bool:
    code = code_of(offer.reason)
    is_left = offer.status is GPUStatus.DRAINING or (code is not None and code.code == CLUSTER_JOB)
    return offer.is_available or offer.held_by is not None or is_left


def _serve(gpus: Sequence[GPUOffer], task: TaskSummary) -> bool:
    return all((offer.total_mb or 0) >= task.gpus.min_memory for offer in gpus)
