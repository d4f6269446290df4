"""Assign free GPUs, and slots for tasks without GPUs: plans a pass over the queue and claims its assignments."""

import logging
import secrets
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType

from api.db.leases import ResourceHeld
from api.domain.gpu import GPUOffer, GPUStatus
from api.domain.lease import LEASE_SECONDS, LeaseKind
from api.domain.read_scope import current_scope
from api.domain.reason import Reason
from api.domain.running_tasks import TRANSFERS, RunningTasks
from api.domain.task import TaskType
from api.domain.training import (
    Attempt,
    NewTask,
    TaskStatus,
    TaskSummary,
)
from api.errors import Conflict, NodeDrained
from api.executors.executor import AttemptRef, Executor
from api.files.disk import describe_shortage
from api.files.task_files import TaskFiles, task_files
from api.gpus.hold_store import HoldStore
from api.gpus.offers import explain_no_gpus, list_offers, list_unstartable
from api.gpus.service import GPUService
from api.gpus.state import GPUState
from api.trainers.trainer import Trainer
from api.training.attempt_store import AttemptStore, NewAttempt
from api.training.attempts.checkpoint_copy import COPIED_RUN
from api.training.attempts.outcomes import LONGEST_WAIT
from api.training.closures import Closures, ReadClosures, close
from api.training.fair_share import NOT_SHARED
from api.training.preemption import Preemption
from api.training.queue_rows import TaskName
from api.training.quotas import Quotas
from api.training.resume_points import last_complete
from api.training.scheduler import Pass, PassContext, plan_pass
from api.training.slots import SlotLimits
from api.training.store import TaskStore
from api.training.usage_store import Bound, OverQuota
from api.training.waiting_messages import JUST_QUEUED
from api.training.window import ClusterWindow
from api.util.clock import Clock
from api.util.foreign_trees import list_names
from api.util.measures import TASK_ID, queue_waits

logger = logging.getLogger(__name__)

#: Number of attempts of a claim that cannot wait, if other tasks take the GPUs first.
CLAIM_TRIES = 16

#: A pass without news is followed by a pause this many times as long, so that 1,000 waiting tasks use 2 % of a core.
REST_SHARE = 50.0
LONGEST_REST = 3.0


#: Maximum age of a pass whose reasons are used, in seconds. The loop makes two passes per second.
DECISION_SECONDS = 5.0


_Wait = tuple[str, float]  # a task id and its earliest start


class RetryWaits:
    """Measures each wait from when the loop first saw it. After a restart the wall clock counts.

    One caller at a time may call `note`. `steady` is thread-safe.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: Mapping[_Wait, float] = MappingProxyType({})  #: on the monotonic clock; replaced as a whole

    def note(self, queue: Sequence[TaskSummary]) -> None:
        """Start measuring the waits of these tasks, and forget all others."""
        now, passed = self._clock.now(), self._clock.monotonic()
        due = {_name(task): at for task in queue if (at := self._due_at(task, now, passed)) is not None}
        self._due = MappingProxyType(due)

    def steady(self, queue: Sequence[TaskSummary]) -> list[TaskSummary]:
        """Return the tasks with `not_before` corrected for changes of the wall clock."""
        now, passed = self._clock.now(), self._clock.monotonic()
        due = [self._due_at(task, now, passed) for task in queue]
        return [
            task if at is None else replace(task, not_before=now + timedelta(seconds=max(0.0, at - passed)))
            for task, at in zip(queue, due, strict=True)
        ]

    def _due_at(self, task: TaskSummary, now: datetime, passed: float) -> float | None:
        """Return the monotonic time at which the task's wait ends, or None if it does not wait for a retry."""
        known = self._due.get(_name(task)) if self._due else None
        if known is not None:
            return known
        # Called for each task of a possibly long queue, most of which do not wait for a retry.
        wait = (task.not_before - now).total_seconds() if task.not_before > now else 0.0
        return passed + wait if 0 < wait <= LONGEST_WAIT else None


def _name(task: TaskSummary) -> _Wait:
    return task.task_id, task.not_before.timestamp()


@dataclass(frozen=True, slots=True)
class DatedPass:
    """A pass and the monotonic time of its creation."""

    decided: Pass
    at: float


class WaitingReasons:
    """The reasons of the latest pass. One thread publishes passes; any thread may read."""

    def __init__(self, clock: Clock, plan: Callable[[], Pass]) -> None:
        """Create the reasons. `plan` makes a pass now, for a server whose loop publishes none."""
        self._clock = clock
        self._plan = plan
        self._published = DatedPass(Pass(), float("-inf"))
        self._planning = threading.Lock()  # guards `_planned`
        self._planned = self._published

    def publish(self, decided: Pass) -> None:
        """Store the latest pass."""
        self._published = DatedPass(decided, self._clock.monotonic())

    @property
    def short(self) -> Sequence[TaskSummary]:
        """The first tasks that only lacked GPUs at the latest published pass."""
        return self._published.decided.short

    def get(self, task_id: str) -> Reason:
        """Return why this task waits, as far as the reader may know."""
        latest = self._published
        if not self._is_fresh(latest):
            # Another server assigns the GPUs, or none does. Its decision would be the same.
            latest = self._plan_now()
        return latest.decided.why(task_id, current_scope.get()) or JUST_QUEUED

    def _plan_now(self) -> DatedPass:
        """Make a pass for readers, at most one at a time."""
        with self._planning:
            if not self._is_fresh(self._planned):
                self._planned = DatedPass(self._plan(), self._clock.monotonic())
            return self._planned

    def _is_fresh(self, made: DatedPass) -> bool:
        return self._clock.monotonic() - made.at <= DECISION_SECONDS


class Dispatcher:
    """The queue of this machine. One thread calls `dispatch`; any thread may read why a task waits."""

    def __init__(
        self,
        tasks: TaskStore,
        attempts: AttemptStore,
        gpus: GPUService,
        trainers: Mapping[str, Trainer],
        executor: Executor,
        clock: Clock,
        storage_root: Path,
        *,
        node: str,
        max_concurrent: int = 0,
        slot_limits: SlotLimits | None = None,
        min_free_mb: int = 0,
        quotas: Quotas | None = None,
        holds: HoldStore | None = None,
        closures: Closures | None = None,
        nodes_of: Callable[[Sequence[TaskSummary]], Mapping[str, frozenset[str]]] = lambda queue: {},
        window: ClusterWindow | None = None,
        preemption: Preemption | None = None,
    ) -> None:
        """Create the dispatcher.

        `node` is this machine. `slot_limits` limits tasks without GPUs, to one by default. Without `quotas`, tasks have
        no owners; without `holds`, nothing is held; without `closures`, no GPU is closed. `nodes_of` returns the nodes
        to which tasks are restricted. `window` submits the first tasks to a cluster. Without `preemption`, no training
        is stopped for another.
        """
        self._tasks = tasks
        self._attempts = attempts
        self._gpus = gpus
        self._trainers = trainers
        self._executor = executor
        self._clock = clock
        self._storage_root = storage_root
        self._node = node
        self.max_concurrent = max_concurrent  #: may change at run time
        self._slot_limits = slot_limits or SlotLimits()
        self._addresses: dict[str, str | None] = {}  #: of the transfers that waited at the last pass
        self._min_free_mb = min_free_mb
        self._quotas = quotas
        self._holds = holds
        self._closures = closures
        self._nodes_of = nodes_of
        self._window = window
        self._preemption = preemption
        self._waits = RetryWaits(clock)
        self._reasons = WaitingReasons(clock, lambda: self.plan(tasks.queued()))
        self._rests_until = float("-inf")

    def dispatch(self, news: bool = True, closures: ReadClosures | None = None) -> int:
        """Make one pass and claim every task that can start. Return their number.

        Without news, a long queue is considered less often. `closures` were read in this round, or are read now.
        """
        began = self._clock.monotonic()
        if not news and began < self._rests_until:
            return 0
        queue = self._tasks.queued()
        self._waits.note(queue)
        if queue and closures is None and self._closures is not None:
            closures = self._closures.read()
        decided = self.plan(queue, closures) if queue else Pass()
        self._reasons.publish(decided)
        now = self._clock.monotonic()
        self._rests_until = now + min(LONGEST_REST, REST_SHARE * (now - began))
        claimed = sum(self._claim(found.task, found.gpus) for found in decided.assignments)
        claimed += self._update_window(decided, closures)
        if self._preemption is not None and decided.urgent:
            nodes = self._nodes_of(decided.urgent)
            self._preemption.check(decided.urgent, queue, self._usable_offers(closures), nodes, self.max_concurrent)
        if claimed:
            self._gpus.note_change()
        return claimed

    def _update_window(self, decided: Pass, closures: ReadClosures | None) -> int:
        """Let the first tasks that lack GPUs wait in the cluster, and start those that got GPUs there."""
        if self._window is None or not (self._window.is_open or decided.short):
            return 0
        offers = self._usable_offers(closures)
        return self._window.update(decided.short, offers, self._nodes_of(decided.short), self._claim)

    def _usable_offers(self, closures: ReadClosures | None) -> list[GPUOffer]:
        """Return the GPUs of nodes on which tasks may start."""
        state = self._gpus.state
        return [offer for offer in self._offers(state, closures) if state.drain_of(offer.node) is None]

    def plan(self, queue: Sequence[TaskSummary], closures: ReadClosures | None = None) -> Pass:
        """Return what a pass over these tasks would decide now, without changing anything."""
        queue = _in_order(self._waits.steady(queue))
        running = self._tasks.running()
        caches = {lease.resource: lease.task_id for lease in self._attempts.leases(LeaseKind.CACHE)}
        state = self._gpus.state
        offers, no_sampling, comfyui_gpus = self._share_with_comfyui(self._offers(state, closures), running)
        known = self._named_tasks(queue, {gpu.held_by for gpu in offers if gpu.held_by} | set(caches.values()))
        programs = {gpu.task.task_id: gpu.task.owner for gpu in state.gpus if gpu.task is not None}
        circumstances = PassContext(
            names={task.task_id: task.name for task in known if task.name},
            owners={**programs, **{task.task_id: task.owner for task in known}},
            now=self._clock.now(),
            active=running.on_gpus,
            max_concurrent=self.max_concurrent,
            running=running,
            addresses=self._addresses_of(queue),
            slot_limits=self._slot_limits,
            no_sampling=no_sampling,
            comfyui_gpus=comfyui_gpus,
            cache_holders=caches,
            disk_problem=describe_shortage(self._storage_root, self._min_free_mb),
            hold=self._why_held(),
            nodes_of=self._nodes_of(queue),
            unstartable=lambda: list_unstartable(state),
            no_gpus=None if offers else explain_no_gpus(state),
            is_fleet=state.is_fleet,
            drained=state.drain_of(self._node),
            accounts=self._quotas.accounts(task.owner for task in queue) if self._quotas else NOT_SHARED,
        )
        return plan_pass(queue, offers, circumstances)

    @property
    def short(self) -> Sequence[TaskSummary]:
        """The first tasks that only lacked GPUs at the last pass of this server."""
        return self._reasons.short

    def _share_with_comfyui(
        self, offers: Sequence[GPUOffer], running: RunningTasks
    ) -> tuple[Sequence[GPUOffer], Reason | None, frozenset[str]]:
        """Return the offers without ComfyUI's GPUs while samples are rendered, why none are now, and these GPUs."""
        named = set(self._slot_limits.comfyui_gpus)
        if not named:
            return offers, None, frozenset()
        # An index alone names a GPU of this machine.
        shared = {
            gpu.uuid for gpu in offers if named & {*gpu.names[1:], *([gpu.names[0]] if gpu.node == self._node else [])}
        }
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

    def closed_gpus(self) -> Collection[str]:
        """Return the UUIDs of the GPUs on which no training may start now: paused ones, or outside their hours."""
        return () if self._closures is None else self._closures.of(list_offers(self._gpus.state)).keys()

    def _offers(self, state: GPUState, closures: ReadClosures | None) -> Sequence[GPUOffer]:
        offers, known = list_offers(state), closures or self._closures
        return offers if known is None else close(offers, known.of(offers))

    def _addresses_of(self, queue: Sequence[TaskSummary]) -> Mapping[str, str | None]:
        """Return the URLs of the transfers among these tasks, by id. They never change, so each is read once."""
        known, transfers = self._addresses, [task.task_id for task in queue if task.kind in TRANSFERS]
        unknown = [task_id for task_id in transfers if task_id not in known]
        fresh = self._tasks.addresses(unknown) if unknown else {}
        found = {task_id: known[task_id] if task_id in known else fresh.get(task_id) for task_id in transfers}
        self._addresses = found
        return found

    def _why_held(self) -> Reason | None:
        hold = None if self._holds is None else self._holds.of_queue()
        return None if hold is None else Reason.of("the queue is held: {why}", "queue_held", why=hold.reason)

    def _named_tasks(self, queue: Sequence[TaskSummary], holders: Collection[str]) -> list[TaskSummary | TaskName]:
        """Return the tasks that reasons may name."""
        return [*queue, *(self._tasks.names(holders) if holders else ())]

    def why_waiting(self, task: TaskSummary) -> Reason | None:
        """Return why a task waits here or in the cluster, as far as the reader may know; None if it does not."""
        if task.status is TaskStatus.STARTING:
            return self._why_queued(task)
        if task.status is not TaskStatus.QUEUED:
            return None
        by_cluster = None if self._window is None else self._window.why(task)
        return by_cluster or self._reasons.get(task.task_id)

    def _why_queued(self, task: TaskSummary) -> Reason | None:
        latest = self._attempts.of_task(task.task_id)[-1:]
        files = task_files(self._storage_root, task.task_id)
        refs = [AttemptRef(attempt.uid, Path(attempt.directory), files.log) for attempt in latest]
        return next((self._executor.why_queued(ref) for ref in refs), None)

    def claim_immediately(self, new: NewTask, task: TaskSummary, actor: str) -> Attempt | None:
        """Create a task that does not wait, with its GPUs. Return None if earlier tasks have a right to them."""
        for _ in range(CLAIM_TRIES):
            decided = self.plan([*self._tasks.queued(), task])
            chosen = next((a for a in decided.assignments if a.task.task_id == task.task_id), None)
            if chosen is None:
                return None
            try:
                claim = self._new_attempt(task, chosen.gpus)
                bound = self._bound(task)
                attempt = self._attempts.create_and_claim(new, claim, self._clock.now(), actor, bound)
            except (ResourceHeld, OverQuota, NodeDrained):
                # Another task was faster. Other GPUs may still be free.
                self._gpus.note_change()
                continue
            self._gpus.note_change()
            return attempt
        return None

    def _claim(self, task: TaskSummary, gpus: Sequence[GPUOffer]) -> bool:
        try:
            attempt = self._attempts.claim(self._new_attempt(task, gpus), self._clock.now(), self._bound(task))
        except OSError as error:
            # Its checkpoint is unknown, and a start from scratch would lose work.
            logger.warning("cannot start a task yet", extra={"task_id": task.task_id, "problem": str(error)})
            return False
        except (ResourceHeld, OverQuota, Conflict) as error:
            logger.info("another task was faster", extra={"task_id": task.task_id, "problem": str(error)})
            return False
        logger.info("attempt claimed", extra={"attempt": attempt.uid, "gpus": list(attempt.gpu_indices)})
        waited = (attempt.created_at - task.queued_at).total_seconds()
        queue_waits.observe(max(0.0, waited), (task.kind,), (TASK_ID, task.task_id))
        return True

    def _bound(self, task: TaskSummary) -> Bound | None:
        # A task without GPUs does not count towards the limit.
        return self._quotas.gpu_bound(task.owner) if self._quotas is not None and task.needs_gpus else None

    def _new_attempt(self, task: TaskSummary, gpus: Sequence[GPUOffer]) -> NewAttempt:
        files = task_files(self._storage_root, task.task_id)
        run_dir, checkpoint = self._resume_point(task, files)
        ordered = sorted(gpus, key=lambda gpu: gpu.index)
        # Several GPUs may mean several processes, which connect through a port.
        node = ordered[0].node if ordered else self._node
        port = self._executor.free_port(node, self._attempts.held_ports()) if ordered else None
        return NewAttempt(
            task_id=task.task_id,
            token=secrets.token_hex(16),
            node=node,
            gpu_uuids=tuple(gpu.uuid for gpu in ordered),
            gpu_indices=tuple(gpu.index for gpu in ordered),
            caches=task.caches,
            master_port=port,
            directory_of=str(files.attempts),
            known_run_dirs=_names_in(files.output),
            run_dir=run_dir,
            resumed_from=checkpoint,
            expires_at=self._clock.now() + timedelta(seconds=LEASE_SECONDS),
            is_fleet=self._gpus.state.is_fleet,
        )

    def _resume_point(self, task: TaskSummary, files: TaskFiles) -> tuple[str | None, str | None]:
        """Return the run directory and checkpoint to resume from, or None for both to start from scratch."""
        trainer = self._trainers.get(task.trainer)
        if task.resume is None or trainer is None:
            return None, None
        if task.kind is TaskType.EXPORT and task.resume.checkpoint is not None:
            # The copy is made when the attempt starts.
            return str(files.output / COPIED_RUN), task.resume.checkpoint
        run_dir = trainer.find_run_dir(files.output)
        if run_dir is None:
            return None, None
        last = last_complete(trainer.checkpoints(run_dir))
        name = task.resume.checkpoint or (None if last is None else last.name)
        return (None, None) if name is None else (str(run_dir), name)


def _in_order(queue: list[TaskSummary]) -> list[TaskSummary]:
    """Sort the tasks by class, priority, then age."""
    # Three stable sorts. A key tuple per task of a long queue would trigger a full garbage collection.
    queue.sort(key=attrgetter("serial"))
    queue.sort(key=attrgetter("queue_rank"))
    queue.sort(key=attrgetter("level"), reverse=True)
    return queue


def _names_in(directory: Path) -> tuple[str, ...]:
    return tuple(sorted(list_names(str(directory), levels=2)[0]))
