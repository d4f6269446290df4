"""Which waiting task gets which GPUs, and why the others wait. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from api.models.gpu import GPUOffer
from api.models.reason import Reason
from api.models.sight import Sight
from api.models.training import TaskSummary
from api.models.usage import Account, Owner
from api.services.attempts.outcomes import LONGEST_WAIT
from api.services.training.fair_share import NOT_SHARED, FairLine, by_places
from api.services.training.quota_pass import QuotaPass
from api.services.training.waiting_words import Obstacle, caching, hide_in_reason, needs_gpus, offer_obstacle

_Wish = tuple[tuple[int | str, ...], int]  # the references, and the MB


@dataclass(frozen=True, slots=True)
class QueueCircumstances:
    """What a pass depends on besides queue and GPUs. `max_concurrent` 0: as many as the GPUs allow. `active` are the
    tasks that have GPUs, `places` how many without any run, by owner; of those `parallel` may at a time.
    """

    now: datetime
    active: int = 0
    max_concurrent: int = 0
    cache_holders: Mapping[str, str] = field(default_factory=dict)
    disk_problem: Reason | None = None
    hold: Reason | None = None  #: why nothing of the queue begins
    names: Mapping[str, str] = field(default_factory=dict)  #: of tasks, by id: reasons name them
    accounts: Mapping[Owner, Account] = field(default_factory=lambda: NOT_SHARED)  #: of the owners of the queue's tasks
    owners: Mapping[str, str | None] = field(default_factory=dict)  #: the users that tasks belong to, by id
    places: Mapping[Owner, int] = field(default_factory=dict)
    parallel: int = 1


@dataclass(frozen=True, slots=True)
class Assignment:
    """The decision to give a task these GPUs, or for one that needs none to begin it."""

    task: TaskSummary
    gpus: tuple[GPUOffer, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass over the queue decided. Nobody can change it."""

    assignments: tuple[Assignment, ...] = ()
    #: Why each task without an assignment waits, by id.
    waiting: Mapping[str, Reason] = field(default_factory=lambda: MappingProxyType({}))
    #: The users that the tasks in these reasons belong to, by id.
    owners: Mapping[str, str | None] = field(default_factory=dict)

    def why(self, task_id: str, sight: Sight) -> Reason | None:
        """Why a task waits, in words that name nothing which a reader with this sight may not see."""
        reason = self.waiting.get(task_id)
        if reason is None or sight.is_whole:
            return reason
        return hide_in_reason(reason, sight, lambda other: sight.sees(self.owners.get(other)))


def plan_pass(queue: Sequence[TaskSummary], gpus: Sequence[GPUOffer], around: QueueCircumstances) -> Pass:
    """Decides for each task of the queue, which is in the order of priority and age; tasks of equal priority take
    turns by owner. GPUs that a task at the front could use are kept for it, as long as the rest of what it needs will
    come free.
    """
    return _Planner(gpus, around).run(queue)


class _Planner:
    def __init__(self, gpus: Sequence[GPUOffer], around: QueueCircumstances) -> None:
        self._gpus = gpus
        self._around = around
        #: GPUs neither taken nor kept: most passes find none, and need not look at all GPUs for each task.
        self._open = {gpu.uuid for gpu in gpus if gpu.is_available}
        self._reserved: dict[str, str] = {}
        self._taken: dict[str, str] = {}
        self._suitable: dict[_Wish, list[GPUOffer]] = {}
        self._reasons: dict[tuple[_Wish, int], Reason] = {}  #: valid as long as nothing is taken or kept
        self._active = around.active
        self._caches = dict(around.cache_holders)
        self._assignments: list[Assignment] = []
        self._quotas = QuotaPass(around.accounts, around.names)

    def run(self, queue: Sequence[TaskSummary]) -> Pass:
        waiting = self._give_places([task for task in queue if not task.needs_gpus])
        line = FairLine([task for task in queue if task.needs_gpus], self._around.accounts)
        for task in line:
            reserved = len(self._reserved)
            reason = self._why_not_now(task) or self._assign(task)
            if reason is not None:
                waiting[task.task_id] = reason
            if reason is None or len(self._reserved) > reserved:
                line.charge(task)
        return Pass(tuple(self._assignments), MappingProxyType(waiting), self._around.owners)

    def _give_places(self, queue: Sequence[TaskSummary]) -> dict[str, Reason]:
        """Begins tasks that need no GPU, as many as there are places; why the others wait, by id."""
        around, waiting = self._around, dict[str, Reason]()
        running = sum(around.places.values())
        line = FairLine(queue, by_places(around.accounts, around.places))
        for task in line:
            reason = self._why_not_yet(task)
            if reason is None and running >= around.parallel:
                reason = Reason.of(
                    "{running} tasks without GPUs run, and PREPROCESS_PARALLEL is {limit}",
                    "preprocess_parallel",
                    running=running,
                    limit=around.parallel,
                )
            if reason is not None:
                waiting[task.task_id] = reason
                continue
            running += 1
            line.charge(task)
            self._assignments.append(Assignment(task, ()))
        return waiting

    def _why_not_yet(self, task: TaskSummary) -> Reason | None:
        around = self._around
        if around.hold is not None:
            return around.hold
        wait = (task.not_before - around.now).total_seconds()
        # No retry waits longer: then the clock was set back meanwhile.
        if 0 < wait <= LONGEST_WAIT:
            return Reason.of("tries again in {seconds} s", "tries_again", seconds=round(wait))
        if around.disk_problem is not None:
            return around.disk_problem
        return self._quotas.why_barred(task)

    def _why_not_now(self, task: TaskSummary) -> Reason | None:
        around, barred = self._around, self._why_not_yet(task)
        if barred is not None:
            return barred
        if around.max_concurrent and self._active >= around.max_concurrent:
            return Reason.of(
                "{running} tasks run, and MAX_CONCURRENT_TASKS is {limit}",
                "max_concurrent",
                running=self._active,
                limit=around.max_concurrent,
            )
        holders = {self._caches[cache] for cache in task.caches if cache in self._caches}
        if holders:
            return caching(sorted(holders), around.names)
        return None

    def _assign(self, task: TaskSummary) -> Reason | None:
        wish = (task.gpus.references, task.gpus.min_memory)
        if wish not in self._suitable:
            self._suitable[wish] = [gpu for gpu in self._gpus if suits(gpu, task)]
        suitable = self._suitable[wish]
        full = self._quotas.why_full(task)
        if full is not None:
            # As with GPUs: nobody waits behind a task whose GPUs may never come.
            if sum(gpu.is_available or gpu.held_by is not None for gpu in suitable) >= task.gpu_count:
                self._quotas.keep(task)
            return full
        free = [gpu for gpu in suitable if gpu.uuid in self._open] if self._open else []
        if len(free) < task.gpu_count:
            if self._reserve(task, suitable, free):
                return self._say(task, free)
            # Those who want the same are short of the same.
            key = (wish, task.gpu_count)
            if key not in self._reasons:
                self._reasons[key] = self._say(task, free)
            return self._reasons[key]
        chosen = _choose(free, task)
        self._open.difference_update(gpu.uuid for gpu in chosen)
        self._taken.update((gpu.uuid, task.task_id) for gpu in chosen)
        self._reasons.clear()
        self._active += 1
        self._quotas.take(task)
        self._caches.update(dict.fromkeys(task.caches, task.task_id))
        self._assignments.append(Assignment(task, tuple(chosen)))
        return None

    def _reserve(self, task: TaskSummary, suitable: Sequence[GPUOffer], free: Sequence[GPUOffer]) -> bool:
        """Whether it keeps any."""
        # Only if the rest will come: a foreign process may stay for ever, and nobody waits for ever behind it.
        coming = [gpu for gpu in suitable if gpu.held_by is not None and gpu.uuid not in self._reserved]
        if len(free) + len(coming) < task.gpu_count:
            return False
        kept = [*_choose(free, task), *coming][: task.gpu_count]
        self._reserved.update((gpu.uuid, task.task_id) for gpu in kept)
        self._open.difference_update(gpu.uuid for gpu in kept)
        self._reasons.clear()
        return True

    def _say(self, task: TaskSummary, free: Sequence[GPUOffer]) -> Reason:
        wanted = [gpu for gpu in self._gpus if _is_wanted(gpu, task)]
        ready = {gpu.uuid for gpu in free}
        obstacles = [(gpu.index, self._obstacle(gpu, task)) for gpu in wanted if gpu.uuid not in ready]
        known = {name for gpu in self._gpus for name in _names(gpu)}
        absent = [str(name) for name in task.gpus.references if str(name) not in known]
        return needs_gpus(task, obstacles, absent, self._around.names)

    def _obstacle(self, gpu: GPUOffer, task: TaskSummary) -> Obstacle:
        if gpu.held_by is not None:
            return Obstacle("held_by", gpu.held_by)
        if gpu.uuid in self._reserved and self._reserved[gpu.uuid] != task.task_id:
            return Obstacle("kept_for", self._reserved[gpu.uuid])
        if gpu.uuid in self._taken:
            return Obstacle("goes_to", self._taken[gpu.uuid])
        return offer_obstacle(gpu, task.gpus.min_memory)


def _is_wanted(gpu: GPUOffer, task: TaskSummary) -> bool:
    references = {str(reference) for reference in task.gpus.references}
    return not references or not references.isdisjoint(_names(gpu))


def _names(gpu: GPUOffer) -> tuple[str, str]:
    """The texts by which a request may name the GPU: its index and its UUID."""
    return str(gpu.index), gpu.uuid


def suits(gpu: GPUOffer, task: TaskSummary) -> bool:
    """Whether this GPU could serve the task, now or once it is free."""
    if not _is_wanted(gpu, task):
        return False
    memory = gpu.free_mb if gpu.is_available else gpu.total_mb
    return not task.gpus.min_memory or (memory is not None and memory >= task.gpus.min_memory)


def _choose(free: Sequence[GPUOffer], task: TaskSummary) -> list[GPUOffer]:
    """The smallest GPUs that suffice, of one kind where possible, so that large boards stay free for who needs them."""
    if task.gpus.references:
        return list(free)
    by_kind: dict[tuple[int, str], list[GPUOffer]] = {}
    for gpu in sorted(free, key=lambda gpu: gpu.index):
        by_kind.setdefault((gpu.total_mb or 0, gpu.name or ""), []).append(gpu)
    kinds = [by_kind[kind] for kind in sorted(by_kind)]
    for alike in kinds:
        if len(alike) >= task.gpu_count:
            return alike[: task.gpu_count]
    return [gpu for alike in kinds for gpu in alike][: task.gpu_count]
