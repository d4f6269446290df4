"""The service of GPUs: monitoring, judgement, offers and holders. Requests always read the latest published state."""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice

from api.domain.access.read_scope import current_scope
from api.domain.machines.gpu import AvailableGPUResponse, GPUInfo, GPUProcesses, GPUStatusResponse
from api.domain.machines.gpu_event import EventType, GPUEvent, Severity
from api.domain.machines.history import GPUHistoryResponse, Metric
from api.domain.machines.node import find_name
from api.domain.machines.reading import FaultKind, XidEvent
from api.domain.machines.system import Readiness
from api.domain.reason import Reason, text_of
from api.domain.tasks.task import RegisteredTask, TaskType
from api.gpus.documents import GPUDocuments, MetricsOptions
from api.gpus.fleet_views import FleetHistory, narrow, node_of, placed, show_processes_of
from api.gpus.health.circumstances import EngineLookup, NeighbourRest
from api.gpus.health.events import GPUEvents
from api.gpus.health.judgement import JudgedGPU
from api.gpus.health.xids import FatalXid, XidKey
from api.gpus.hiding import hide_in_event
from api.gpus.lookup import find_gpu
from api.gpus.monitor import GPUMonitor
from api.gpus.offers import why_unstartable
from api.gpus.other_machines import NodePart, judge_drain
from api.gpus.registered_tasks import GPUTasks
from api.gpus.sharing.registration_store import Registrations
from api.gpus.sharing.registrations import GPUHolders, TaskRegistry
from api.gpus.snapshot import GPUSnapshot
from api.gpus.sources import host
from api.gpus.sources.source import GPUSource
from api.gpus.state import GPUState, GPUStateKeeper
from api.gpus.views import show_available
from api.gpus.wanted_power import WantedLimits
from api.trainers.diffusion_pipe.models.registry import ModelType, training_mb
from api.util.clock import Clock
from api.util.deadlines import wait_limit
from api.util.http.documents import DocumentTable
from api.util.http.pagination import Page, PageRequest, paginate
from api.util.periodic import PeriodicThread

#: Seconds between two checks for readings that became stale without a sweep.
FRESHNESS_SECONDS = 1.0

#: The pause after publishing news of other machines, as a multiple of the time that publishing took.
REST_SHARE = 20.0

#: Seconds that a sweep may wait for the database.
SWEEP_SECONDS = 0.3

_XID_SECONDS = 1.0
#: The most Xid errors read at a time; the others wait in the driver for the next second.
_XID_BURST = 1000

_PAST_UNKNOWN = Reason.of(
    "its Xid errors before this server started are unknown: the database cannot be read", "past_unknown"
)

_NAMESPACE_NOTE = Reason.of(
    "This service runs in its own PID namespace: NVML may report the host's pids, which mean other processes here.",
    "own_pid_namespace",
)


#: The number of sweeps after which readings are too old for the service to be ready.
READY_SWEEPS = 3


def judge_readiness(state: GPUState, now: float, interval: float) -> Readiness:
    """Return whether the readings are reliable at the monotonic time `now`, and the reasons if not.

    `interval` is the number of seconds between two sweeps.
    """
    limit = READY_SWEEPS * interval
    reasons = [] if state.snapshot.problem is None else [text_of(state.snapshot.problem)]
    ages = [now - (state.snapshot.taken_monotonic)]
    for gpu in state.own_gpus:
        if gpu.reading.fault is FaultKind.LOST:
            continue
        read = gpu.reading.read_monotonic
        ages.append(now - (state.snapshot.taken_monotonic if read is None else read))
        if read is None:
            reasons.append(f"GPU {gpu.reading.index} has not been read yet: {text_of(gpu.reading.fault_reason or '')}")
        elif now - read > limit:
            why = text_of(gpu.reading.fault_reason or "no later sweep")
            reasons.append(f"the reading of GPU {gpu.reading.index} is older than {READY_SWEEPS} sweeps: {why}")
    if not reasons and ages[0] > limit:
        reasons.append(f"the last sweep is older than {READY_SWEEPS} intervals")
    return Readiness(
        status="not_ready" if reasons else "ready",
        reasons=tuple(reasons),
        source=state.snapshot.source,
        reading_age=round(max(ages), 1),
    )


def needed_memory(min_memory: int, task_type: TaskType | None, model_type: ModelType | None) -> int:
    """Return the free memory in MB that a request needs.

    A `model_type` adds the memory of its training. For preprocessing it adds nothing: that needs less, and no figure is
    known.
    """
    if model_type is None or task_type is TaskType.PREPROCESSING:
        return min_memory
    return max(min_memory, training_mb(model_type) or 0)


def find_available(state: GPUState, needed: int, count: int | None) -> AvailableGPUResponse:
    """Return the available GPUs with this much free memory in MB, most free memory first.

    `count` limits the list.
    """
    found = [gpu for gpu in state.gpus if gpu.judgement.is_available and _has_free(gpu, needed)]
    # In whole GB, so that a display's few MB do not reorder equal boards.
    found.sort(key=lambda gpu: (-((gpu.vitals.memory_free_mb or 0) // 1024), gpu.reading.index or 0))
    return AvailableGPUResponse(
        available_gpus=tuple(
            placed(state, gpu.node, show_available(state.snapshot_of(gpu.node), gpu, why_unstartable(state, gpu.node)))
            for gpu in found[:count]
        ),
        total_available=len(found),
        timestamp=state.snapshot.taken_at,
        source=state.snapshot.source,
    )


def _has_free(gpu: JudgedGPU, needed_mb: int) -> bool:
    if needed_mb == 0:
        return True
    free = gpu.vitals.memory_free_mb
    return free is not None and free >= needed_mb


class GPUService:
    """Provides the state of the GPUs and decides which are available."""

    def __init__(
        self,
        source: GPUSource,
        store: Registrations,
        clock: Clock,
        *,
        interval: float = 5.0,
        max_age: float = 10.0,
        metrics: MetricsOptions | None = None,
        events: GPUEvents | None = None,
    ) -> None:
        self._source = source
        self._clock = clock
        self.interval = interval  #: seconds between two sweeps
        self._metrics = metrics or MetricsOptions()
        self._events = events or GPUEvents()
        self._histories = FleetHistory(interval)
        self.history = self._histories.own  #: the history of this machine's GPUs over the last day
        self._keeper = GPUStateKeeper(store.node, clock, max_age, self._events)
        self._registry = TaskRegistry(store, clock, on_change=self._on_registry_change)
        #: The tasks that hold GPUs, for programs that register and query them.
        self.tasks = GPUTasks(self._registry, lambda: self._state, self.get_all_gpus)
        self._holders = GPUHolders(self._registry, self._note_release)
        self.power_limits = WantedLimits()  #: the power limits that its GPUs should have
        self._monitor = GPUMonitor(source, interval, clock, self.publish, self.power_limits)
        self._freshness = PeriodicThread("gpu-freshness", FRESHNESS_SECONDS, self.check_freshness)
        self._xids = PeriodicThread("gpu-xid", _XID_SECONDS, self.read_xids)
        self._lock = threading.Lock()
        self._swept = threading.Event()
        self._listeners: list[Callable[[int, GPUDocuments], None]] = []
        self._on_xids: Callable[[], None] = lambda: None
        self._messages = 0
        self._has_news = False
        self._rests_until = float("-inf")
        snapshot = _unread(source, clock)
        self._state = GPUState(store.node, snapshot, (), {}, failed_sweeps=0, nodes=(judge_drain(store.node, {}),))
        self._documents = self._document(self._state)

    # -- monitoring ------------------------------------------------------------------------------------------------

    def start_monitoring(self) -> None:
        """Start the sweeps. The first answers exist as soon as the GPUs have answered once."""
        for part in (self._monitor, self._freshness, self._xids):
            part.start()

    def offer_from(self, nodes: Callable[[], Collection[str]], find_status: EngineLookup | None = None) -> None:
        """Offer the GPUs of these nodes, with the status that `find_status` adds, instead of this machine's only.

        Both functions must return immediately.
        """
        self._keeper.offer_from(nodes, find_status)

    def withhold_where(self, why_not: Callable[[str], Reason | None]) -> None:
        """Offer no GPU of a node for which this function returns a reason. It must return immediately."""
        self._keeper.withhold_where(why_not)

    def wait_for_first_sweep(self, timeout: float) -> bool:
        """Return False if the first sweep has not ended after `timeout` seconds."""
        return self._swept.wait(timeout)

    def stop_monitoring(self) -> None:
        """Stop the sweeps. A stuck call to the driver is left running."""
        self._xids.stop(timeout=0.5)
        self._freshness.stop(timeout=0.5)
        self._monitor.stop()
        self._source.close()

    def subscribe(self, listener: Callable[[int, GPUDocuments], None]) -> None:
        """Call `listener(number, documents)` with the answers of each new state, in the thread that made it."""
        self._listeners.append(listener)

    def publish(self, snapshot: GPUSnapshot) -> None:
        """Process a sweep's snapshot: record it, release tasks of ended processes, judge it, and publish the answers.

        It does not wait for the database; a later sweep processes late data.
        """
        with wait_limit(SWEEP_SECONDS):
            self._take_over(snapshot)
        self._histories.record_others(self._state)

    def _take_over(self, snapshot: GPUSnapshot) -> None:
        before = self._state
        self._holders.release_ended(snapshot, snapshot.source is not before.snapshot.source, before.other_uuids)
        began = snapshot.taken_monotonic
        self.history.record(
            snapshot.taken_at.timestamp(),
            began,
            [(gpu, gpu.read_monotonic is not None and gpu.read_monotonic >= began) for gpu in snapshot.gpus],
        )
        with self._lock:
            self._publish(snapshot)
            documents = self._documents
        # Sweeps pay for the encoding; for changes in between the first reader does.
        documents.make_all()
        self._swept.set()

    def _publish(self, snapshot: GPUSnapshot) -> None:
        held = self._holders.read()
        self._keeper.timed_holds = self._holders.timed_holds
        self._source.observe_tasks({uuid: task for uuid, task in (held or {}).items() if not task.has_ended})
        self._state = self._keeper.judge(snapshot, held)
        before, self._documents = self._documents, self._document(self._state)
        self._documents.follow(before)
        self._messages += 1
        for listener in self._listeners:
            listener(self._messages, self._documents)

    def _document(self, state: GPUState) -> GPUDocuments:
        return GPUDocuments(state, self._clock, self._metrics.process, self._metrics.dcgm_hostname)

    def check_freshness(self) -> None:
        """Publish the state again if a reading became stale or another machine has reported.

        Reports of others are published with pauses 20 times as long as publishing took, because a thousand machines
        report constantly.
        """
        with self._lock:
            began = self._clock.monotonic()
            is_due = self._has_news and began >= self._rests_until
            if is_due or self._keeper.staleness_changed(self._state):
                self._has_news = False
                self._publish(self._state.snapshot)
                self._rests_until = began + REST_SHARE * (self._clock.monotonic() - began)

    def update_nodes(
        self,
        parts: Mapping[str, NodePart],
        drains: Mapping[str, Reason],
        xids: Sequence[XidEvent] = (),
        reporter: str = "",
    ) -> None:
        """Process the last reports of other machines, the drained nodes, and the Xid errors of `reporter`'s GPUs."""
        with self._lock:
            is_urgent = self._keeper.update_nodes(parts, drains)
            for event in xids:
                self._keeper.note_xid(reporter, event, self._state.gpus)
            self._has_news = self._has_news or parts != self._state.parts
            if is_urgent or xids:
                self._publish(self._state.snapshot)
        if xids:
            self._on_xids()

    def await_past_xids(self, on_xids: Callable[[], None]) -> None:
        """Offer no GPU until `exchange_fatal_xids` is called once.

        `on_xids` is called when a driver has reported Xid errors; it must return immediately.
        """
        self._keeper.past_problem, self._on_xids = _PAST_UNKNOWN, on_xids

    def exchange_fatal_xids(
        self, news: Mapping[XidKey, FatalXid], reset: Collection[tuple[str, str]]
    ) -> Mapping[XidKey, FatalXid]:
        """Add errors that were stored, and clear GPUs (node and UUID) that other servers have seen reset.

        Returns all errors that make a GPU unusable now.
        """
        with self._lock:
            is_changed = bool(news or reset) or self._keeper.past_problem is not None
            self._keeper.past_problem = None
            for key, error in news.items():
                self._keeper.xids.restore(key, error)
            for node, uuid in reset:
                self._keeper.xids.forgive(node, uuid)
            if is_changed and self._swept.is_set():
                self._publish(self._state.snapshot)
            return self._keeper.xids.fatal()

    def find_disputed(self, node: str, uuids: Iterable[str]) -> frozenset[str]:
        """Return those of these UUIDs that another machine reported before this node."""
        with self._lock:
            return self._keeper.owners.find_disputed(node, uuids)

    def add_node_event(
        self, name: str, severity: Severity, message: Reason, previous: str | None, current: str
    ) -> None:
        """Add a change of another machine to the events."""
        now = self._clock.now()
        self._events.add(now, EventType.NODE, severity, message, node=name, previous=previous, current=current)

    def read_xids(self) -> None:
        """Read the Xid errors that the driver reports, and count them."""
        events = list(islice(iter(self._source.next_xid, None), _XID_BURST))
        if events:
            with self._lock:
                for event in events:
                    self._keeper.note_xid(self._state.node, event, self._state.gpus)
                # Once for all: a burst of messages would be too fast for the subscribers.
                self._publish(self._state.snapshot)
            self._on_xids()

    def _on_registry_change(self, released: Sequence[str]) -> None:
        with self._lock:
            self._keeper.note_released(released)
            self._publish(self._state.snapshot)

    def _note_release(self, task: RegisteredTask, why: Reason) -> None:
        message = Reason.of("{task_id} was released: {why}", "released", task_id=task.task_id, why=why)
        self._events.add(self._clock.now(), EventType.TASK, Severity.WARNING, message, owner=task.owner)

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def documents(self) -> DocumentTable:
        """The encoded answers of the latest state, by path, for readers from whom nothing is hidden."""
        return self._documents.table

    @property
    def seen(self) -> GPUDocuments:
        """The answers of the latest state as the current reader may see them."""
        return self._documents.seen_by(current_scope.get())

    def get_status(self) -> GPUStatusResponse:
        """Return all GPUs, with the summary, the age and the source."""
        return self.seen.status

    def get_all_gpus(self) -> tuple[GPUInfo, ...]:
        """Return all known GPUs, including lost ones."""
        return self.seen.status.gpus

    def get_available_gpus(
        self,
        min_memory: int = 0,
        task_type: TaskType | None = None,
        model_type: ModelType | None = None,
        count: int | None = None,
        node: str | None = None,
    ) -> AvailableGPUResponse:
        """Return the available GPUs of one node or of all, most free memory first.

        `count` limits the list. `min_memory` is in MB. Raises NodeNotFound.
        """
        return find_available(narrow(self._state, node), needed_memory(min_memory, task_type, model_type), count)

    def note_rests(self, rests: Mapping[str, NeighbourRest]) -> None:
        """Count what neighbours still hold of these GPUs, by UUID, as free, and publish the state again."""
        with self._lock:
            self._keeper.rests = rests
            self._publish(self._state.snapshot)

    def republish(self) -> None:
        """Publish the state again, because leases have changed."""
        self._on_registry_change(())

    def sweep_soon(self) -> None:
        """Read the GPUs again without waiting for the next sweep."""
        self._monitor.trigger()

    @property
    def state(self) -> GPUState:
        """All GPUs at one moment, for the scheduler's decisions."""
        return self._state

    def require(self, reference: str) -> None:
        """Raise GPUNotFound unless a GPU has this index or UUID."""
        find_gpu(self._state, reference)

    def get_processes(self, reference: str) -> GPUProcesses:
        """Return the processes that hold memory of one GPU.

        Raises GPUNotFound.
        """
        state = self.seen.state
        note = _NAMESPACE_NOTE if host.has_own_pid_namespace() else None
        return show_processes_of(state, reference, note)

    def get_history(
        self, reference: str, metric: Metric, since: datetime, until: datetime, step: float | None
    ) -> GPUHistoryResponse:
        """Return the history of one metric of one GPU.

        Raises GPUNotFound.
        """
        return self._histories.show(self._state, reference, metric, since, until, step)

    def get_events(
        self, selects: Callable[[GPUEvent, str], bool], page: PageRequest, node: str | None = None
    ) -> Page[GPUEvent]:
        """Return the events of one node or of all, newest first.

        `selects` receives an event and its node. Raises NodeNotFound for a node that neither exists nor has events.
        """
        state, scope = self._state, current_scope.get()
        hidden = (hide_in_event(event, owner, scope) for event, owner in self._events.list_owned())
        seen = [(event, node_of(event, state.node)) for event in hidden if event is not None]
        if node is not None:
            # Events of a deleted machine are shown for as long as they are stored.
            node = find_name(node, {name for _, name in seen}) or narrow(state, node).nodes[0].name
        events = [event for event, name in seen if node in (None, name) and selects(event, name)]
        return paginate(events, lambda event: event.id, page, descending=True)

    def get_readiness(self) -> Readiness:
        """Return whether the readings are reliable, and the reasons if not."""
        return judge_readiness(self._state, self._clock.monotonic(), self.interval)


def _unread(source: GPUSource, clock: Clock) -> GPUSnapshot:
    """Return the snapshot before the first sweep has ended."""
    return GPUSnapshot(
        sequence=0,
        gpus=(),
        source=source.name,
        versions=source.versions,
        taken_at=clock.now(),
        taken_monotonic=clock.monotonic(),
        sweep_seconds=0.0,
        problem=Reason.of("the first sweep has not ended yet", "first_sweep"),
    )
