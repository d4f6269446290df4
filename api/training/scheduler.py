"""Which waiting task gets which GPUs, and why the others wait. Pure functions."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from api.domain.gpu import GPUOffer
from api.domain.places import TaskPlaces
from api.domain.reason import Reason
from api.domain.sight import Sight
from api.domain.training import TaskSummary
from api.domain.usage import Account, Owner
from api.training.attempts.outcomes import LONGEST_WAIT
from api.training.fair_share import NOT_SHARED, FairLine, by_places
from api.training.places import PlaceRules, open_rooms
from api.training.quota_pass import QuotaPass
from api.training.supply import Supply
from api.training.waiting_words import (
    JUST_QUEUED,
    Obstacle,
    caching,
    hide_in_reason,
    needs_gpus,
    offer_obstacle,
)
from api.util.collector import uncollected

#: The references, the MB, and the machines.
_Wish = tuple[tuple[int | str, ...], int, frozenset[str] | None]


#: How many of those that wait for GPUs alone are named: an engine is handed the first of them.
MOST_SHORT = 500


@dataclass(frozen=True, slots=True)
class QueueCircumstances:
    """What a pass depends on besides queue and GPUs. `max_concurrent` 0: as many as the GPUs allow. `active` are the
    tasks that have GPUs, `places` tells of those without any, `addresses` where transfers go that wait.
    """

    now: datetime
    active: int = 0
    max_concurrent: int = 0
    cache_holders: Mapping[str, str] = field(default_factory=dict)
    disk_problem: Reason | None = None
    hold: Reason | None = None  #: why nothing of the queue begins
    drained: Reason | None = None  #: why nothing without GPUs begins on this machine
    names: Mapping[str, str] = field(default_factory=dict)  #: of tasks, by id: reasons name them
    accounts: Mapping[Owner, Account] = field(default_factory=lambda: NOT_SHARED)  #: of the owners of the queue's tasks
    owners: Mapping[str, str | None] = field(default_factory=dict)  #: the users that tasks belong to, by id
    places: TaskPlaces = field(default_factory=TaskPlaces)
    addresses: Mapping[str, str | None] = field(default_factory=dict)
    place_rules: PlaceRules = field(default_factory=PlaceRules)
    nodes_of: Mapping[str, frozenset[str]] = field(default_factory=dict)  #: the machines that tasks are bound to, by id
    #: The GPUs on which nothing can be started, each with the reason.
    unstartable: Callable[[], Sequence[tuple[GPUOffer, Reason]]] = tuple
    no_gpus: Reason | None = None  #: why there is no GPU at all that could be given away
    is_fleet: bool = False  #: whether there are several machines, so that reasons name each GPU with its own


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
    short: tuple[TaskSummary, ...] = ()  #: the first that wait for GPUs alone, in their order
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
    # Over 1,000 nodes a pass makes a quarter of a million containers, and lets go of all of them.
    with uncollected():
        return _Planner(queue, gpus, around).run()


class _Reasons(Mapping[str, Reason]):
    """Why tasks wait, by id. What is short of GPUs is said when somebody asks: to look at all GPUs for each task of a
    long queue would take longer than all else.
    """

    def __init__(self, queue: Sequence[TaskSummary], gpus: Sequence[GPUOffer], around: QueueCircumstances) -> None:
        self._queue = queue
        self._by_id: dict[str, TaskSummary] = {}  #: the queue, when somebody has asked
        self._holders = frozenset[str]()  #: the tasks that hold GPUs, likewise
        self._gpus = gpus
        self._around = around
        self._said: dict[str, Reason | int] = {}
        self._alike: dict[tuple[_Wish, int, int], Reason] = {}
        #: Of each GPU that is taken or kept: for which task, and as how manieth.
        self.taken: dict[str, tuple[str, int]] = {}
        self.kept: dict[str, tuple[str, int]] = {}

    def say(self, task: TaskSummary, reason: Reason) -> None:
        """Notes why this task waits."""
        self._said[task.task_id] = reason

    def say_later(self, task: TaskSummary, after: int) -> None:
        """Notes that this task is short of GPUs, after so many others were given away or kept."""
        # A number, and nothing that is made for each: the collector would walk over it.
        self._said[task.task_id] = after

    def __getitem__(self, task_id: str) -> Reason:
        after = self._said[task_id]
        if isinstance(after, Reason):
            return after
        if not self._by_id:
            self._by_id = {task.task_id: task for task in self._queue}
            self._holders = frozenset(gpu.held_by for gpu in self._gpus if gpu.held_by is not None)
        if task_id in self._holders:
            # It was given GPUs after the queue was read, or they are not back from its former try: no other has them.
            return JUST_QUEUED
        task = self._by_id[task_id]
        # Those who want the same at the same time are short of the same.
        key = (_wish(task, self._around), task.gpu_count, after)
        reason = self._alike.get(key)
        if reason is None:
            reason = self._alike[key] = self._short_of(task, after)
        return reason

    def __iter__(self) -> Iterator[str]:
        return iter(self._said)

    def __len__(self) -> int:
        return len(self._said)

    def _short_of(self, task: TaskSummary, after: int) -> Reason:
        nodes = self._around.nodes_of.get(task.task_id)
        if nodes is not None and not nodes:
            return Reason.of("no machine of the cluster is in the partition and has what it asks for", "no_such_node")
        if not self._gpus and self._around.no_gpus is not None:
            return self._around.no_gpus
        wanted = [gpu for gpu in self._gpus if _is_wanted(gpu, task) and (nodes is None or gpu.node in nodes)]
        obstacles = [
            (self._name(gpu), found) for gpu in wanted if (found := self._obstacle(gpu, task, after)) is not None
        ]
        # Those that are free are named, as a list of free GPUs shows them, too; and those that were asked for.
        others = [
            (gpu, why)
            for gpu, why in self._around.unstartable()
            if _is_wanted(gpu, task) and (task.gpus.references or (gpu.is_available and suits(gpu, task)))
        ]
        elsewhere = [(self._name(gpu), Obstacle("not_startable", detail=why)) for gpu, why in others]
        there = [*self._gpus, *(gpu for gpu, _ in others)]
        known = {name for gpu in there for name in gpu.names} if task.gpus.references else set()
        absent = [str(name) for name in task.gpus.references if str(name) not in known]
        return needs_gpus(task, obstacles, absent, self._around.names, elsewhere)

    def _name(self, gpu: GPUOffer) -> tuple[str, int]:
        return gpu.node if self._around.is_fleet else "", gpu.index

    def _obstacle(self, gpu: GPUOffer, task: TaskSummary, after: int) -> Obstacle | None:
        if gpu.held_by is not None:
            return Obstacle("held_by", gpu.held_by)
        for kind, given in (("kept_for", self.kept.get(gpu.uuid)), ("goes_to", self.taken.get(gpu.uuid))):
            if given is not None and given[1] <= after:
                return Obstacle(kind, given[0])
        is_ready = gpu.is_available and suits(gpu, task)
        return None if is_ready else offer_obstacle(gpu, task.gpus.min_memory)


class _Planner:
    def __init__(self, queue: Sequence[TaskSummary], gpus: Sequence[GPUOffer], around: QueueCircumstances) -> None:
        self._queue = queue
        self._gpus = gpus
        self._around = around
        self._open = {gpu.uuid for gpu in gpus if gpu.is_available}  #: neither taken nor kept
        self._waiting = _Reasons(queue, gpus, around)
        self._given = 0  #: how many times GPUs were taken or kept
        self._by_name: dict[str, list[GPUOffer]] = {}
        self._supplies: dict[_Wish, Supply] = {}
        self._gone: list[GPUOffer] = []  #: what was taken or kept, as it went
        #: How many may still be taken or kept: those that are free, or come free.
        self._left = sum(gpu.is_available or gpu.held_by is not None for gpu in gpus)
        self._active = around.active
        self._caches = dict(around.cache_holders)
        self._assignments: list[Assignment] = []
        self._short: list[TaskSummary] = []
        self._quotas = QuotaPass(around.accounts, around.names)

    def run(self) -> Pass:
        queue = self._queue
        without = [task for task in queue if not task.needs_gpus]
        if without:
            self._give_places(without)
            queue = [task for task in queue if task.needs_gpus]
        line = FairLine(queue, self._around.accounts)
        for task in line:
            given, reason = self._given, self._why_not_now(task)
            if reason is not None:
                self._waiting.say(task, reason)
            elif self._assign(task) or self._given > given:
                line.charge(task)
        most = self._around.max_concurrent
        short = self._short[: max(0, most - self._active)] if most else self._short
        return Pass(tuple(self._assignments), self._waiting, tuple(short), self._around.owners)

    def _give_places(self, queue: Sequence[TaskSummary]) -> None:
        """Begins tasks that need no GPU, as many as there are places."""
        around = self._around
        for room in open_rooms(around.places, around.addresses, around.place_rules):
            line = FairLine([task for task in queue if room.takes(task)], by_places(around.accounts, room.by_owner))
            for task in line:
                reason = self._why_not_yet(task) or around.drained or room.why_full(task)
                if reason is not None:
                    self._waiting.say(task, reason)
                    continue
                room.take(task)
                line.charge(task)
                self._assignments.append(Assignment(task, ()))

    def _why_not_yet(self, task: TaskSummary) -> Reason | None:
        around = self._around
        if around.hold is not None:
            return around.hold
        wait = (task.not_before - around.now).total_seconds() if task.not_before > around.now else 0.0
        # No retry waits longer: then the clock was set back meanwhile.
        if 0 < wait <= LONGEST_WAIT:
            return Reason.of("tries again in {seconds} s", "tries_again", seconds=round(wait))
        if around.disk_problem is not None:
            return around.disk_problem
        return self._quotas.why_barred(task) if around.accounts else None

    def _why_not_now(self, task: TaskSummary) -> Reason | None:
        around, barred = self._around, self._why_not_yet(task)
        if barred is not None:
            return barred
        if around.max_concurrent and self._active >= around.max_concurrent:
            return Reason.of(
                "{running} {running|task runs|tasks run}, and MAX_CONCURRENT_TASKS is {limit}",
                "max_concurrent",
                running=self._active,
                limit=around.max_concurrent,
            )
        if task.caches and self._caches:
            holders = {self._caches[cache] for cache in task.caches if cache in self._caches}
            if holders:
                return caching(sorted(holders), around.names)
        return None

    def _assign(self, task: TaskSummary) -> bool:
        """Whether it gets GPUs; else it is noted why not."""
        full = self._quotas.why_full(task) if self._around.accounts else None
        if full is None and task.gpu_count > self._left:
            # So it is with most of a long queue.
            self._note_short(task)
            return False
        supply = self._supply(task)
        if full is not None:
            # As with GPUs: nobody waits behind a task whose GPUs may never come.
            if supply.most >= task.gpu_count:
                self._quotas.keep(task)
            self._waiting.say(task, full)
            return False
        chosen = supply.choose(task.gpu_count)
        if chosen is None:
            self._note_short(task)
            kept = supply.keep(task.gpu_count)
            if kept is not None:
                # Only if the rest will come: nobody waits for ever behind what may not.
                self._give(kept, task, self._waiting.kept)
            return False
        self._give(chosen, task, self._waiting.taken)
        self._active += 1
        self._quotas.take(task)
        self._caches.update(dict.fromkeys(task.caches, task.task_id))
        self._assignments.append(Assignment(task, tuple(chosen)))
        return True

    def _note_short(self, task: TaskSummary) -> None:
        self._waiting.say_later(task, self._given)
        if len(self._short) < MOST_SHORT:
            self._short.append(task)

    def _give(self, gpus: Sequence[GPUOffer], task: TaskSummary, noted: dict[str, tuple[str, int]]) -> None:
        self._given += 1
        for gpu in gpus:
            noted[gpu.uuid] = task.task_id, self._given
            self._open.discard(gpu.uuid)
        self._gone += gpus
        self._left -= len(gpus)

    def _supply(self, task: TaskSummary) -> Supply:
        wish = _wish(task, self._around)
        found = self._supplies.get(wish)
        if found is None:
            nodes = wish[2]
            suitable = [
                gpu
                for gpu in self._wanted(task)
                if _is_large_enough(gpu, task) and (nodes is None or gpu.node in nodes)
            ]
            found = self._supplies[wish] = Supply(suitable, self._open, self._waiting.kept, self._gone)
        return found

    def _wanted(self, task: TaskSummary) -> Iterable[GPUOffer]:
        """Those that a task may mean, without a look at each for a task that names a few."""
        if not task.gpus.references:
            return self._gpus
        if not self._by_name:
            for gpu in self._gpus:
                for name in gpu.names:
                    self._by_name.setdefault(name, []).append(gpu)
        named = [gpu for name in map(str, task.gpus.references) for gpu in self._by_name.get(name, ())]
        return {gpu.uuid: gpu for gpu in named}.values()


def _wish(task: TaskSummary, around: QueueCircumstances) -> _Wish:
    return task.gpus.references, task.gpus.min_memory, around.nodes_of.get(task.task_id)


def _is_wanted(gpu: GPUOffer, task: TaskSummary) -> bool:
    references = {str(reference) for reference in task.gpus.references}
    return not references or not references.isdisjoint(gpu.names)


def suits(gpu: GPUOffer, task: TaskSummary) -> bool:
    """Whether this GPU could serve the task, now or once it is free."""
    return _is_wanted(gpu, task) and _is_large_enough(gpu, task)


def _is_large_enough(gpu: GPUOffer, task: TaskSummary) -> bool:
    if not task.gpus.min_memory:
        return True
    memory = gpu.free_mb if gpu.is_available else gpu.total_mb
    return memory is not None and memory >= task.gpus.min_memory
