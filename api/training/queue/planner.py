"""Plan a pass: give the scheduler the queue, the GPUs, and what keeps tasks waiting: retries, disk, holds, quotas."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from api.domain.machines.gpu import GPUOffer, GPUStatus
from api.domain.machines.lease import LeaseKind
from api.domain.reason import Reason
from api.domain.tasks.training import TaskSummary, in_queue_order
from api.files.task_files import TaskStorage
from api.gpus.offers import explain_no_gpus, list_offers, list_unstartable
from api.gpus.service import GPUService
from api.gpus.state import GPUState
from api.training.attempts.outcomes import LONGEST_WAIT
from api.training.queue.closures import Closures, ReadClosures, close
from api.training.queue.fair_share import NOT_SHARED
from api.training.queue.quotas import Quotas
from api.training.queue.scheduler import Pass, PassContext, plan_pass
from api.training.queue.slots import TRANSFERS, RunningTasks, SlotLimits
from api.training.records.attempt_store import TaskStores
from api.util.clock import Clock

_Wait = tuple[str, float]  # a task id and its earliest start


class RetryWaits:
    """Measures each wait from when the loop first saw it. After a restart the wall clock counts.

    One caller at a time may call `start`. `steady` is thread-safe.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: Mapping[_Wait, float] = MappingProxyType({})  #: on the monotonic clock; replaced as a whole

    def start(self, queue: Sequence[TaskSummary]) -> None:
        """Start measuring the waits of these tasks, and forget all others."""
        now, passed = self._clock.now(), self._clock.monotonic()
        due = {_name(task): at for task in queue if (at := self._due_at(task, now, passed)) is not None}
        self._due = MappingProxyType(due)

    def steady(self, queue: Sequence[TaskSummary]) -> list[TaskSummary]:
        """Return the tasks with `retry_not_before` corrected for changes of the wall clock."""
        now, passed = self._clock.now(), self._clock.monotonic()
        due = [self._due_at(task, now, passed) for task in queue]
        return [
            task if at is None else replace(task, retry_not_before=now + timedelta(seconds=max(0.0, at - passed)))
            for task, at in zip(queue, due, strict=True)
        ]

    def _due_at(self, task: TaskSummary, now: datetime, passed: float) -> float | None:
        """Return the monotonic time at which the task's wait ends, or None if it does not wait for a retry."""
        known = self._due.get(_name(task)) if self._due else None
        if known is not None:
            return known
        # Called for each task of a possibly long queue, most of which do not wait for a retry.
        wait = (task.retry_not_before - now).total_seconds() if task.retry_not_before > now else 0.0
        return passed + wait if 0 < wait <= LONGEST_WAIT else None


def _name(task: TaskSummary) -> _Wait:
    return task.task_id, task.retry_not_before.timestamp()


@dataclass(frozen=True, slots=True)
class PlacementRules:
    """The configured rules of how many tasks may run at the same time, and where."""

    max_concurrent: int = 0  #: most tasks with GPUs; 0: no limit
    slots: SlotLimits = field(default_factory=SlotLimits)  #: of tasks without GPUs
    #: Returns the nodes to which tasks are restricted, by task id.
    nodes_of: Callable[[Sequence[TaskSummary]], Mapping[str, frozenset[str]]] = lambda queue: {}


class PassPlanner:
    """Plans passes from the present state, without changing anything. Thread-safe, except the start of `waits`."""

    def __init__(
        self,
        stores: TaskStores,
        gpus: GPUService,
        closures: Closures,
        storage: TaskStorage,
        clock: Clock,
        quotas: Quotas | None = None,
        rules: PlacementRules | None = None,
    ) -> None:
        """Create the planner. Without `quotas`, tasks have no owners."""
        self._tasks, self._attempts = stores.tasks, stores.attempts
        self._gpus = gpus
        self.closures = closures
        self._storage = storage
        self._clock = clock
        self._quotas = quotas
        self.rules = rules or PlacementRules()  #: may change at run time
        self.waits = RetryWaits(clock)  #: one thread starts those of the queue before its passes
        self._addresses: dict[str, str | None] = {}  #: of the transfers that waited at the last pass

    def plan(self, queue: Sequence[TaskSummary], closures: ReadClosures | None = None) -> Pass:
        """Return what a pass over these tasks would decide now, without changing anything.

        `closures` are those of this round; by default they are read.
        """
        queue = in_queue_order(self.waits.steady(queue))
        running = self._tasks.running()
        caches = {lease.resource: lease.task_id for lease in self._attempts.leases(LeaseKind.CACHE)}
        state = self._gpus.state
        offers, no_sampling, comfyui_gpus = self._share_with_comfyui(self._offers(state, closures), running, state.node)
        # Reasons may name the tasks of the queue and the holders of GPUs and caches.
        holders = {gpu.held_by for gpu in offers if gpu.held_by} | set(caches.values())
        known = [*queue, *(self._tasks.names(holders) if holders else ())]
        programs = {gpu.task.task_id: gpu.task.owner for gpu in state.gpus if gpu.task is not None}
        context = PassContext(
            names={task.task_id: task.name for task in known if task.name},
            owners={**programs, **{task.task_id: task.owner for task in known}},
            now=self._clock.now(),
            active=running.on_gpus,
            max_concurrent=self.rules.max_concurrent,
            running=running,
            addresses=self._addresses_of(queue),
            slot_limits=self.rules.slots,
            no_sampling=no_sampling,
            comfyui_gpus=comfyui_gpus,
            cache_holders=caches,
            disk_problem=self._storage.describe_shortage(),
            hold=self.closures.why_queue_is_held(),
            nodes_of=self.rules.nodes_of(queue),
            unstartable=lambda: list_unstartable(state),
            no_gpus=None if offers else explain_no_gpus(state),
            is_fleet=state.is_fleet,
            drained=state.drain_of(state.node),
            accounts=self._quotas.accounts(task.owner for task in queue) if self._quotas else NOT_SHARED,
        )
        return plan_pass(queue, offers, context)

    def usable_offers(self, closures: ReadClosures | None = None) -> list[GPUOffer]:
        """Return the GPUs of nodes on which tasks may start."""
        state = self._gpus.state
        return [offer for offer in self._offers(state, closures) if state.drain_of(offer.node) is None]

    def _share_with_comfyui(
        self, offers: Sequence[GPUOffer], running: RunningTasks, node: str
    ) -> tuple[Sequence[GPUOffer], Reason | None, frozenset[str]]:
        """Return the offers without ComfyUI's GPUs while samples are rendered, why none are now, and these GPUs."""
        named = set(self.rules.slots.comfyui_gpus)
        if not named:
            return offers, None, frozenset()
        # An index alone names a GPU of this machine.
        shared = {gpu.uuid for gpu in offers if named & {*gpu.names[1:], *([gpu.names[0]] if gpu.node == node else [])}}
        if running.sampling:
            why = Reason.of("ComfyUI renders samples on it", "comfyui_renders")
            taken = [
                replace(gpu, is_available=False, held_by=None, status=GPUStatus.BUSY, reason=why)
                if gpu.uuid in shared
                else gpu
                for gpu in offers
            ]
            return taken, None, frozenset(shared)
        is_used = any(each.resource in shared for each in self._attempts.leases(LeaseKind.GPU))
        no_sampling = Reason.of("another task has the GPU of ComfyUI", "comfyui_gpu_used") if is_used else None
        return offers, no_sampling, frozenset(shared)

    def _offers(self, state: GPUState, closures: ReadClosures | None) -> Sequence[GPUOffer]:
        offers = list_offers(state)
        return close(offers, (closures or self.closures).of(offers))

    def _addresses_of(self, queue: Sequence[TaskSummary]) -> Mapping[str, str | None]:
        """Return the URLs of the transfers among these tasks, by id. They never change, so each is read once."""
        known, transfers = self._addresses, [task.task_id for task in queue if task.kind in TRANSFERS]
        unknown = [task_id for task_id in transfers if task_id not in known]
        fresh = self._tasks.addresses(unknown) if unknown else {}
        found = {task_id: known[task_id] if task_id in known else fresh.get(task_id) for task_id in transfers}
        self._addresses = found
        return found
