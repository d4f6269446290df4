"""Scheduling: which queued task gets which GPUs, and why the others wait. Pure functions, called by `planner`."""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from api.domain.access.read_scope import ReadScope
from api.domain.machines.gpu import GPUOffer
from api.domain.reason import Reason
from api.domain.tasks.labels import PriorityClass
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskSummary
from api.domain.tasks.usage import Account, Owner
from api.training.attempts.outcomes import LONGEST_WAIT
from api.training.queue.closures import CLOSED_CODES
from api.training.queue.fair_share import NOT_SHARED, FairQueue, by_running_tasks
from api.training.queue.quota_reasons import (
    has_filled_storage,
    has_used_hours,
    needs_more,
    reserved_for_own,
    waits_for_own,
)
from api.training.queue.slots import RunningTasks, SlotLimits, open_slots
from api.training.queue.supply import Supply
from api.training.queue.waiting_messages import (
    JUST_QUEUED,
    Obstacle,
    caching,
    hide_in_reason,
    needs_gpus,
    offer_obstacle,
    preempted,
    starts_later,
)

#: References, MB of memory, and nodes.
_Demand = tuple[tuple[int | str, ...], int, frozenset[str] | None]


#: Limit of tasks listed as lacking only GPUs. The first of them are submitted to a cluster.
MOST_SHORT = 500


@contextmanager
def gc_paused() -> Iterator[None]:
    """Disable the garbage collector within the block, in all threads.

    For code that creates very many objects that are freed at its end. Reference counting still frees objects
    immediately.
    """
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # If another thread has disabled it, that thread enables it again.
        if is_on:
            gc.enable()


@dataclass(frozen=True, slots=True)
class PassContext:
    """The state that a pass depends on, besides queue and GPUs.

    `max_concurrent` 0 means no limit. `active` is the number of tasks with GPUs, `running` counts running tasks, and
    `addresses` has the URLs of waiting transfers.
    """

    now: datetime
    active: int = 0
    max_concurrent: int = 0
    cache_holders: Mapping[str, str] = field(default_factory=dict)
    disk_problem: Reason | None = None
    hold: Reason | None = None  #: why no queued task starts
    drained: Reason | None = None  #: why no task without GPUs starts on this machine
    names: Mapping[str, str] = field(default_factory=dict)  #: names of tasks by id, for reasons
    accounts: Mapping[Owner, Account] = field(default_factory=lambda: NOT_SHARED)  #: of the owners of queued tasks
    owners: Mapping[str, str | None] = field(default_factory=dict)  #: owners of tasks, by task id
    running: RunningTasks = field(default_factory=RunningTasks)
    addresses: Mapping[str, str | None] = field(default_factory=dict)
    slot_limits: SlotLimits = field(default_factory=SlotLimits)
    no_sampling: Reason | None = None  #: why no samples are rendered now
    comfyui_gpus: frozenset[str] = frozenset()  #: UUIDs of the GPUs on which they are
    #: nodes to which tasks are restricted, by task id
    nodes_of: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: GPUs on which nothing can start, with the reasons.
    unstartable: Callable[[], Sequence[tuple[GPUOffer, Reason]]] = tuple
    no_gpus: Reason | None = None  #: why there is no GPU at all
    is_fleet: bool = False  #: whether there are several nodes, so that reasons name the node of each GPU


@dataclass(frozen=True, slots=True)
class Assignment:
    """The decision to start a task on these GPUs, or without GPUs."""

    task: TaskSummary
    gpus: tuple[GPUOffer, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """The decisions of one pass. Immutable."""

    assignments: tuple[Assignment, ...] = ()
    #: Why each task without an assignment waits, by task id.
    waiting: Mapping[str, Reason] = field(default_factory=lambda: MappingProxyType({}))
    short: tuple[TaskSummary, ...] = ()  #: the first tasks that only lack GPUs, in order
    #: Urgent tasks that only lack GPUs or a place under the limit of tasks, in order.
    urgent: tuple[TaskSummary, ...] = ()
    #: The owners of tasks named in reasons, by task id.
    owners: Mapping[str, str | None] = field(default_factory=dict)

    def why(self, task_id: str, scope: ReadScope) -> Reason | None:
        """Return why a task waits, without anything that the scope hides."""
        reason = self.waiting.get(task_id)
        if reason is None or scope.is_whole:
            return reason
        return hide_in_reason(reason, scope, lambda other: scope.sees(self.owners.get(other)))


def plan_pass(queue: Sequence[TaskSummary], gpus: Sequence[GPUOffer], context: PassContext) -> Pass:
    """Decide about each queued task. `queue` is sorted by class, priority and age.

    Owners of tasks with equal class and priority take turns. GPUs that a task at the front could use are reserved for
    it if the rest of its GPUs will become free.
    """
    # With 1,000 nodes, a pass creates and frees a quarter of a million containers.
    with gc_paused():
        return _Planner(queue, gpus, context).run()


class _Reasons(Mapping[str, Reason]):
    """Why tasks wait, by task id.

    Reasons for a lack of GPUs are computed on access, because examining all GPUs for each task of a long queue would
    dominate the pass.
    """

    def __init__(self, queue: Sequence[TaskSummary], gpus: Sequence[GPUOffer], context: PassContext) -> None:
        self._queue = queue
        self._by_id: dict[str, TaskSummary] = {}  #: the queue by id, filled at the first access
        self._holders = frozenset[str]()  #: the tasks that hold GPUs, filled at the first access
        self._gpus = gpus
        self._context = context
        self._stored: dict[str, Reason | int] = {}
        self._shared: dict[tuple[_Demand, int, int], Reason] = {}
        #: The task to which a GPU is assigned or reserved, and the sequence number of that decision.
        self.taken: dict[str, tuple[str, int]] = {}
        self.reserved: dict[str, tuple[str, int]] = {}

    def set(self, task: TaskSummary, reason: Reason) -> None:
        """Store why this task waits."""
        self._stored[task.task_id] = reason

    def set_short(self, task: TaskSummary, after: int) -> None:
        """Store that this task lacks GPUs after this many earlier decisions."""
        # Stores a number, because the garbage collector would have to visit an object per task.
        self._stored[task.task_id] = after

    def __getitem__(self, task_id: str) -> Reason:
        after = self._stored[task_id]
        if isinstance(after, Reason):
            return after
        if not self._by_id:
            self._by_id = {task.task_id: task for task in self._queue}
            self._holders = frozenset(gpu.held_by for gpu in self._gpus if gpu.held_by is not None)
        if task_id in self._holders:
            # It got GPUs after the queue was read, or still has those of its previous attempt. No other task has them.
            return JUST_QUEUED
        task = self._by_id[task_id]
        if task.preempted_by in self._holders or task.preempted_by in {by for by, _ in self.taken.values()}:
            return preempted(task.preempted_by, self._context.names)
        # Tasks with equal demand lack the same GPUs after the same decisions.
        key = (_demand_of(task, self._context), task.gpu_count, after)
        reason = self._shared.get(key)
        if reason is None:
            reason = self._shared[key] = self._short_of(task, after)
        return reason

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def _short_of(self, task: TaskSummary, after: int) -> Reason:
        nodes = self._context.nodes_of.get(task.task_id)
        if nodes is not None and not nodes:
            return Reason.of("no node of the requested partition has the requested features", "no_such_node")
        if not self._gpus and self._context.no_gpus is not None:
            return self._context.no_gpus
        requested = [gpu for gpu in self._gpus if _is_requested(gpu, task) and (nodes is None or gpu.node in nodes)]
        obstacles = [
            (self._name(gpu), found) for gpu in requested if (found := self._obstacle(gpu, task, after)) is not None
        ]
        # Free GPUs are included because a list of free GPUs shows them, too, and requested ones in any case.
        others = [
            (gpu, why)
            for gpu, why in self._context.unstartable()
            if _is_requested(gpu, task) and (task.gpus.references or (gpu.is_available and suits(gpu, task)))
        ]
        elsewhere = [(self._name(gpu), Obstacle("not_startable", detail=why)) for gpu, why in others]
        existing = [*self._gpus, *(gpu for gpu, _ in others)]
        known = {name for gpu in existing for name in gpu.names} if task.gpus.references else set()
        absent = [str(name) for name in task.gpus.references if str(name) not in known]
        if not absent and (closed := _why_closed(obstacles)) is not None:
            return closed
        return needs_gpus(task, obstacles, absent, self._context.names, elsewhere)

    def _name(self, gpu: GPUOffer) -> tuple[str, int]:
        return gpu.node if self._context.is_fleet else "", gpu.index

    def _obstacle(self, gpu: GPUOffer, task: TaskSummary, after: int) -> Obstacle | None:
        if gpu.held_by is not None:
            return Obstacle("held_by", gpu.held_by)
        for kind, given in (("kept_for", self.reserved.get(gpu.uuid)), ("goes_to", self.taken.get(gpu.uuid))):
            if given is not None and given[1] <= after:
                return Obstacle(kind, given[0])
        is_ready = gpu.is_available and suits(gpu, task)
        return None if is_ready else offer_obstacle(gpu, task.gpus.min_memory)


def _why_closed(obstacles: Sequence[tuple[tuple[str, int], Obstacle]]) -> Reason | None:
    """Return the reason if all GPUs are closed for the same one, else None. The first GPU stands for the others."""
    reasons = [found.detail for _, found in obstacles]
    codes = {reason.said.code if isinstance(reason, Reason) else "" for reason in reasons}
    return reasons[0] if len(codes) == 1 and codes <= CLOSED_CODES and isinstance(reasons[0], Reason) else None


class _PassQuotas:
    """The accounts of the owners and what this pass has assigned. Owners without account have no limit."""

    def __init__(self, accounts: Mapping[Owner, Account], names: Mapping[str, str]) -> None:
        self._accounts = dict(accounts)
        self._names = names
        self._reserved: dict[str, Reason] = {}  #: by owner, the reason for tasks behind the one with the reservation

    def why_barred(self, task: TaskSummary) -> Reason | None:
        """Return why the owner cannot start this task even if GPUs are free, or None."""
        account = self._accounts.get(task.owner)
        if account is None or task.owner is None:
            return None
        if account.quota.gpus is not None and task.gpu_count > account.quota.gpus:
            return needs_more(task.owner, account.quota.gpus, task.gpu_count)
        if task.needs_gpus and account.has_used_its_hours:
            return has_used_hours(task.owner, account)
        return has_filled_storage(task.owner, account) if account.has_filled_its_storage else None

    def why_full(self, task: TaskSummary) -> Reason | None:
        """Return why the owner must first free other GPUs, or None."""
        account = self._accounts.get(task.owner)
        if account is None or task.owner is None or account.quota.gpus is None:
            return None
        if task.owner in self._reserved:
            return self._reserved[task.owner]
        if account.gpus + task.gpu_count > account.quota.gpus:
            return waits_for_own(task.owner, account, task, account.quota.gpus)
        return None

    def reserve(self, task: TaskSummary) -> None:
        """Reserve the rest of the owner's GPUs for a task, so that smaller tasks do not overtake it forever."""
        limit = self._accounts[task.owner].quota.gpus
        if task.owner is not None and limit is not None and task.owner not in self._reserved:
            self._reserved[task.owner] = reserved_for_own(task.owner, limit, task.task_id, self._names)

    def take(self, task: TaskSummary) -> None:
        """Count the GPUs that a task gets."""
        account = self._accounts.get(task.owner)
        if account is not None:
            self._accounts[task.owner] = replace(account, gpus=account.gpus + task.gpu_count)


class _Planner:
    def __init__(self, queue: Sequence[TaskSummary], gpus: Sequence[GPUOffer], context: PassContext) -> None:
        self._queue = queue
        self._gpus = gpus
        self._context = context
        self._open = {gpu.uuid for gpu in gpus if gpu.is_available}  #: neither assigned nor reserved
        self._waiting = _Reasons(queue, gpus, context)
        self._given = 0  #: number of decisions that assigned or reserved GPUs
        self._by_name: dict[str, list[GPUOffer]] = {}
        self._supplies: dict[_Demand, Supply] = {}
        self._assigned: list[GPUOffer] = []  #: assigned or reserved GPUs, in order
        #: Number of GPUs that can still be assigned or reserved: free ones and those that will be.
        self._left = sum(gpu.is_available or gpu.held_by is not None for gpu in gpus)
        self._active = context.active
        self._caches = dict(context.cache_holders)
        self._assignments: list[Assignment] = []
        self._short: list[TaskSummary] = []
        #: The GPUs that queued tasks have left for urgent ones, by their ids.
        self._left_for: dict[str, set[str]] = {}
        for task in queue:
            if task.preempted_by is not None:
                self._left_for.setdefault(task.preempted_by, set()).update(task.gpu_uuids)
        self._urgent: dict[str, TaskSummary] = {}  #: urgent tasks without GPUs so far, by id
        self._quotas = _PassQuotas(context.accounts, context.names)

    def run(self) -> Pass:
        queue = self._queue
        without = [task for task in queue if not task.needs_gpus]
        if without:
            self._use_slots(without)
            queue = [task for task in queue if task.needs_gpus]
        line = FairQueue(queue, self._context.accounts)
        for task in line:
            given, reason = self._given, self._why_not_now(task)
            if reason is not None:
                self._waiting.set(task, reason)
            elif self._assign(task) or self._given > given:
                line.charge(task)
        limit = self._context.max_concurrent
        short = self._short[: max(0, limit - self._active)] if limit else self._short
        urgent = tuple(self._urgent.values())
        return Pass(tuple(self._assignments), self._waiting, tuple(short), urgent, self._context.owners)

    def _use_slots(self, queue: Sequence[TaskSummary]) -> None:
        """Start tasks without GPUs while there are slots."""
        context = self._context
        for slots in open_slots(context.running, context.addresses, context.slot_limits, context.no_sampling):
            line = FairQueue(
                [task for task in queue if slots.takes(task)], by_running_tasks(context.accounts, slots.by_owner)
            )
            for task in line:
                reason = self._why_not_yet(task) or context.drained or slots.why_full(task)
                if reason is not None:
                    self._waiting.set(task, reason)
                    continue
                slots.take(task)
                if task.kind is TaskType.SAMPLE:
                    self._open -= context.comfyui_gpus
                line.charge(task)
                self._assignments.append(Assignment(task, ()))

    def _why_not_yet(self, task: TaskSummary) -> Reason | None:
        context = self._context
        if context.hold is not None:
            return context.hold
        if task.not_before is not None and not task.is_due(context.now):
            return starts_later(task.not_before)
        wait = (task.retry_not_before - context.now).total_seconds() if task.retry_not_before > context.now else 0.0
        # Retries never wait longer, so a longer wait means that the clock was set back.
        if 0 < wait <= LONGEST_WAIT:
            return Reason.of("retries in {seconds} s", "tries_again", seconds=round(wait))
        if context.disk_problem is not None:
            return context.disk_problem
        return self._quotas.why_barred(task) if context.accounts else None

    def _why_not_now(self, task: TaskSummary) -> Reason | None:
        context, barred = self._context, self._why_not_yet(task)
        if barred is not None:
            return barred
        if task.preempted_by in self._urgent:
            # It would take the GPUs that it has left for that task, or have to leave others.
            return preempted(task.preempted_by, context.names)
        if context.max_concurrent and self._active >= context.max_concurrent:
            self._note_urgent(task)
            return Reason.of(
                "{running} {running|task runs|tasks run}, and MAX_CONCURRENT_TASKS is {limit}",
                "max_concurrent",
                running=self._active,
                limit=context.max_concurrent,
            )
        if task.caches and self._caches:
            holders = {self._caches[cache] for cache in task.caches if cache in self._caches}
            if holders:
                return caching(sorted(holders), context.names)
        return None

    def _assign(self, task: TaskSummary) -> bool:
        """Try to assign GPUs to the task; otherwise record the reason. Return whether it got GPUs."""
        full = self._quotas.why_full(task) if self._context.accounts else None
        if full is None and task.gpu_count > self._left:
            # The quick path for most tasks of a long queue.
            self._note_short(task)
            self._keep_left_for(task)
            return False
        supply = self._supply(task)
        if full is not None:
            # As with GPUs: no task waits behind one whose GPUs may never become available.
            if supply.most >= task.gpu_count:
                self._quotas.reserve(task)
            self._waiting.set(task, full)
            return False
        chosen = supply.choose(task.gpu_count)
        if chosen is None:
            self._note_short(task)
            reserved = supply.reserve(task.gpu_count)
            if reserved is not None:
                # Reserved only if the rest will become free, so that no task waits forever behind this one.
                self._give(reserved, task, self._waiting.reserved)
            self._keep_left_for(task)
            return False
        self._give(chosen, task, self._waiting.taken)
        self._active += 1
        self._quotas.take(task)
        self._caches.update(dict.fromkeys(task.caches, task.task_id))
        self._assignments.append(Assignment(task, tuple(chosen)))
        return True

    def _keep_left_for(self, task: TaskSummary) -> None:
        """Reserve the GPUs that others have left for an urgent task that needs more of them."""
        left = self._left_for.get(task.task_id)
        if left:
            self._give([gpu for gpu in self._gpus if gpu.uuid in left & self._open], task, self._waiting.reserved)

    def _note_short(self, task: TaskSummary) -> None:
        self._waiting.set_short(task, self._given)
        self._note_urgent(task)
        if len(self._short) < MOST_SHORT:
            self._short.append(task)

    def _note_urgent(self, task: TaskSummary) -> None:
        if task.priority_class is PriorityClass.URGENT:
            self._urgent[task.task_id] = task

    def _give(self, gpus: Sequence[GPUOffer], task: TaskSummary, noted: dict[str, tuple[str, int]]) -> None:
        self._given += 1
        for gpu in gpus:
            noted[gpu.uuid] = task.task_id, self._given
            self._open.discard(gpu.uuid)
        self._assigned += gpus
        self._left -= len(gpus)

    def _supply(self, task: TaskSummary) -> Supply:
        demand = _demand_of(task, self._context)
        found = self._supplies.get(demand)
        if found is None:
            nodes = demand[2]
            suitable = [
                gpu
                for gpu in self._requested(task)
                if _is_large_enough(gpu, task) and (nodes is None or gpu.node in nodes)
            ]
            found = self._supplies[demand] = Supply(suitable, self._open, self._waiting.reserved, self._assigned)
        return found

    def _requested(self, task: TaskSummary) -> Iterable[GPUOffer]:
        """Return the GPUs that a task may use, without examining all of them if it names some."""
        if not task.gpus.references:
            return self._gpus
        if not self._by_name:
            for gpu in self._gpus:
                for name in gpu.names:
                    self._by_name.setdefault(name, []).append(gpu)
        named = [gpu for name in map(str, task.gpus.references) for gpu in self._by_name.get(name, ())]
        return {gpu.uuid: gpu for gpu in named}.values()


def _demand_of(task: TaskSummary, context: PassContext) -> _Demand:
    return task.gpus.references, task.gpus.min_memory, context.nodes_of.get(task.task_id)


def _is_requested(gpu: GPUOffer, task: TaskSummary) -> bool:
    references = {str(reference) for reference in task.gpus.references}
    return not references or not references.isdisjoint(gpu.names)


def suits(gpu: GPUOffer, task: TaskSummary) -> bool:
    """Return whether this GPU can serve the task, now or once it is free."""
    return _is_requested(gpu, task) and _is_large_enough(gpu, task)


def _is_large_enough(gpu: GPUOffer, task: TaskSummary) -> bool:
    if not task.gpus.min_memory:
        return True
    memory = gpu.free_mb if gpu.is_available else gpu.total_mb
    return memory is not None and memory >= task.gpus.min_memory
