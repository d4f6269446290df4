"""The GPUs: monitored, judged, offered, held. What a request sees is always the latest published state."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice

from api.errors import Forbidden, GPUBusy, GPULost, GPUNotFound
from api.hardware import host
from api.hardware.source import GPUSource
from api.models.access import Permission
from api.models.event import EventType, GPUEvent, Severity
from api.models.gpu import AvailableGPUResponse, GPUInfo, GPUProcesses, GPUStatusResponse
from api.models.history import GPUHistoryResponse
from api.models.model_memory import TRAINING_MB, ModelType
from api.models.reading import FaultKind
from api.models.reason import Reason
from api.models.sight import ANOTHERS_TASK, current_sight
from api.models.snapshot import GPUSnapshot
from api.models.system import Readiness
from api.models.task import Keep, RegisteredTask, TaskType, TaskView
from api.services.gpus.busy import describe_busy
from api.services.gpus.documents import GPUDocuments, ProcessMetrics, no_process_metrics
from api.services.gpus.events import GPUEvents
from api.services.gpus.hiding import hide_in_event
from api.services.gpus.history import UNITS, GPUHistory, Metric
from api.services.gpus.holders import GPUHolders
from api.services.gpus.judgement import JudgedGPU
from api.services.gpus.monitor import GPUMonitor
from api.services.gpus.readiness import judge_readiness
from api.services.gpus.registry import TaskRegistry
from api.services.gpus.state import GPUState, GPUStateKeeper
from api.services.gpus.view import show_available, show_processes
from api.storage.registrations import Registrations
from api.utils.clock import Clock
from api.utils.deadlines import hurrying
from api.utils.documents import DocumentTable
from api.utils.pagination import Page, PageRequest, paginate
from api.utils.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two checks whether a reading has turned stale without a sweep.
FRESHNESS_SECONDS = 1.0

#: Seconds that a sweep may wait for what the database knows.
SWEEP_SECONDS = 0.3

_XID_SECONDS = 1.0
#: The most Xid errors read at a time; the rest waits in the driver for the next second.
_XID_BURST = 1000

_NAMESPACE_NOTE = Reason.of(
    "This service runs in a PID namespace of its own: "
    "NVML may report the host's pids, which name other processes here.",
    "own_pid_namespace",
)


class GPUService:
    """What the service knows of GPUs, and who may have which."""

    def __init__(
        self,
        source: GPUSource,
        store: Registrations,
        clock: Clock,
        *,
        interval: float = 5.0,
        max_age: float = 10.0,
        process_metrics: ProcessMetrics = no_process_metrics,
        dcgm_hostname: str | None = None,
        events: GPUEvents | None = None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._interval = interval
        self._process_metrics = process_metrics
        self._dcgm_hostname = dcgm_hostname
        self._events = events or GPUEvents()
        self.history = GPUHistory(interval)  #: what the GPUs did over the last day
        self._keeper = GPUStateKeeper(store.node, clock, max_age, self._events)
        self._registry = TaskRegistry(store, clock, on_change=self._on_registry_change)
        self._holders = GPUHolders(self._registry, self._note_release)
        self._monitor = GPUMonitor(source, interval, clock, self.publish)
        self._freshness = PeriodicThread("gpu-freshness", FRESHNESS_SECONDS, self.check_freshness)
        self._xids = PeriodicThread("gpu-xid", _XID_SECONDS, self.listen_for_xid)
        self._lock = threading.Lock()
        self._swept = threading.Event()
        self._listeners: list[Callable[[int, GPUDocuments], None]] = []
        self._messages = 0
        snapshot = GPUSnapshot(
            sequence=0,
            gpus=(),
            source=source.name,
            versions=source.versions,
            taken_at=clock.now(),
            taken_monotonic=clock.monotonic(),
            sweep_seconds=0.0,
            problem=Reason.of("the first sweep has not ended yet", "first_sweep"),
        )
        self._state = GPUState(store.node, snapshot, gpus=(), xids={}, failed_sweeps=0)
        self._documents = self._document(self._state)

    # -- monitoring ------------------------------------------------------------------------------------------------

    def start_monitoring(self) -> None:
        """Begins to sweep; the first answers are there as soon as the GPUs have answered once."""
        for part in (self._monitor, self._freshness, self._xids):
            part.start()

    def wait_for_first_sweep(self, timeout: float) -> bool:
        """False when the first sweep has not ended after `timeout` seconds."""
        return self._swept.wait(timeout)

    def stop_monitoring(self) -> None:
        """Ends the sweeps. A call to the driver that is stuck is left behind."""
        self._xids.stop(timeout=0.5)
        self._freshness.stop(timeout=0.5)
        self._monitor.stop()
        self._source.close()

    def subscribe(self, listener: Callable[[int, GPUDocuments], None]) -> None:
        """Calls `listener(number, documents)` with the answers of each new state, in the thread that made it."""
        self._listeners.append(listener)

    def publish(self, snapshot: GPUSnapshot) -> None:
        """Takes a sweep's snapshot: records it, releases dead tasks, judges it, and hands documents and streams on.

        It does not wait for the database: what is not known in time is taken up by a later sweep.
        """
        with hurrying(SWEEP_SECONDS):
            self._take_over(snapshot)

    def _take_over(self, snapshot: GPUSnapshot) -> None:
        self._holders.release_ended(snapshot, has_changed_source=snapshot.source is not self._state.snapshot.source)
        began = snapshot.taken_monotonic
        self.history.record(
            snapshot.taken_at.timestamp(),
            began,
            [(gpu, gpu.read_monotonic is not None and gpu.read_monotonic >= began) for gpu in snapshot.gpus],
        )
        with self._lock:
            self._publish(snapshot)
            documents = self._documents
        # Sweeps pay for the encoding; changes in between leave it to the first who asks.
        documents.table.make_all()
        self._swept.set()

    def _publish(self, snapshot: GPUSnapshot) -> None:
        held = self._holders.read()
        self._source.observe_tasks({uuid: task for uuid, task in (held or {}).items() if not task.has_ended})
        self._state = self._keeper.judge(snapshot, held)
        before, self._documents = self._documents, self._document(self._state)
        self._documents.follow(before)
        self._messages += 1
        for listener in self._listeners:
            listener(self._messages, self._documents)

    def _document(self, state: GPUState) -> GPUDocuments:
        return GPUDocuments(state, self._clock, self._process_metrics, self._dcgm_hostname)

    def check_freshness(self) -> None:
        """Publishes the state again when a reading has turned stale since."""
        with self._lock:
            if self._keeper.staleness_changed(self._state):
                self._publish(self._state.snapshot)

    def listen_for_xid(self) -> None:
        """Reads the Xid errors that the driver reports, and counts them."""
        events = list(islice(iter(self._source.next_xid, None), _XID_BURST))
        if events:
            with self._lock:
                for event in events:
                    self._keeper.note_xid(event, self._state.gpus)
                # Once for all of them: a burst of messages would outrun the subscribers.
                self._publish(self._state.snapshot)

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
        """The ready answers of the latest state, by path: for readers from whom nothing is hidden."""
        return self._documents.table

    @property
    def seen(self) -> GPUDocuments:
        """The answers of the latest state as whoever asks may see them."""
        return self._documents.seen_by(current_sight.get())

    def get_status(self) -> GPUStatusResponse:
        """Every GPU, with the summary, the age and the source."""
        return self.seen.status

    def get_all_gpus(self) -> tuple[GPUInfo, ...]:
        """Every GPU that is known, lost ones included."""
        return self.seen.status.gpus

    def get_available_gpus(
        self,
        min_memory: int = 0,
        task_type: TaskType | None = None,
        model_type: ModelType | None = None,
        count: int | None = None,
    ) -> AvailableGPUResponse:
        """The GPUs that can be had now, most free memory first; `count` cuts the list.

        `min_memory` is in MB. A `model_type` asks for what its training needs; preprocessing it needs less, and no
        figure for that is known, so then the type filters nothing.
        """
        state = self._state
        needed = min_memory
        if model_type is not None and task_type is not TaskType.PREPROCESSING:
            needed = max(needed, TRAINING_MB[model_type])
        found = [gpu for gpu in state.gpus if gpu.judgement.is_available and _has_free(gpu, needed)]
        # By whole GB, so that a few MB of a display do not reorder equal boards.
        found.sort(key=lambda gpu: (-((gpu.vitals.memory_free_mb or 0) // 1024), gpu.reading.index or 0))
        return AvailableGPUResponse(
            available_gpus=tuple(show_available(state.snapshot, gpu) for gpu in found[:count]),
            total_available=len(found),
            timestamp=state.snapshot.taken_at,
            source=state.snapshot.source,
        )

    def note_change(self) -> None:
        """Publishes the state again, as leases have changed."""
        self._on_registry_change(())

    def sweep_soon(self) -> None:
        """Reads the GPUs again without waiting for the next sweep."""
        self._monitor.trigger()

    @property
    def state(self) -> GPUState:
        """All GPUs of one moment, by which the scheduler decides."""
        return self._state

    def require(self, reference: str) -> None:
        """Raises GPUNotFound unless a GPU has this index or UUID."""
        _find(self._state, reference)

    def get_processes(self, reference: str) -> GPUProcesses:
        """Who holds memory of one GPU. Raises GPUNotFound."""
        state = self.seen.state
        note = _NAMESPACE_NOTE if host.has_own_pid_namespace() else None
        return show_processes(state.snapshot, _find(state, reference), note)

    def get_history(
        self, reference: str, metric: Metric, since: datetime, until: datetime, step: float | None
    ) -> GPUHistoryResponse:
        """A metric of one GPU over time. Raises GPUNotFound."""
        state = self._state
        gpu = _find(state, reference)
        series = self.history.read(gpu.reading.uuid or "", metric, since.timestamp(), until.timestamp(), step)
        return GPUHistoryResponse(
            gpu_id=gpu.reading.index,
            uuid=gpu.reading.uuid,
            metric=metric,
            unit=UNITS[metric],
            since=since,
            until=until,
            step=series.step,
            data=series.points,
            source=state.snapshot.source,
        )

    def get_events(self, selects: Callable[[GPUEvent], bool], page: PageRequest) -> Page[GPUEvent]:
        """What happened, newest first."""
        sight = current_sight.get()
        seen = [hide_in_event(event, owner, sight) for event, owner in self._events.list_owned()]
        events = [event for event in seen if event is not None and selects(event)]
        return paginate(events, lambda event: event.id, page, descending=True)

    def get_readiness(self) -> Readiness:
        """Whether the readings can be relied on; the reasons when not."""
        return judge_readiness(self._state, self._clock.monotonic(), self._interval)

    # -- the task registry -----------------------------------------------------------------------------------------

    def register_task(
        self,
        gpu_ids: Sequence[int | str],
        task_type: TaskType,
        task_id: str | None = None,
        description: str | None = None,
        pid: int | None = None,
        owner: str | None = None,
    ) -> TaskView:
        """Lets a program hold GPUs, all of them or none.

        Raises Forbidden, GPUNotFound, GPULost, GPUBusy, TaskExists or ProcessNotRunning.
        """
        if pid is not None and not current_sight.get().sees_commands:
            needed = Permission.PROCESSES_READ
            raise Forbidden(
                f"To name a pid the key needs the permission {needed}.", data={"missing_permission": needed}
            )
        state = self._state
        # Index and UUID may name the same GPU; it is held once.
        uuids = dict.fromkeys(self._usable(state, reference) for reference in gpu_ids)
        try:
            task = self._registry.register(list(uuids), task_type, task_id, description, pid, owner)
        except GPUBusy as error:
            self._say_who(error)
            raise
        return self._show(task)

    def _say_who(self, error: GPUBusy) -> None:
        """Names the GPUs by their indices, and who holds them as far as whoever asks may know."""
        state, sight = self._state, current_sight.get()
        owners = {gpu.task.task_id: gpu.task.owner for gpu in state.gpus if gpu.task is not None}
        holders = error.data["held_by"].items()
        held = {uuid: task_id if sight.sees(owners.get(task_id)) else None for uuid, task_id in holders}
        said = [f"GPU {state.indices.get(uuid)} is held by {task or ANOTHERS_TASK}" for uuid, task in held.items()]
        error.detail = "; ".join(said) + "."
        error.data = {"held_by": held, **describe_busy(self.get_all_gpus(), held)}

    @staticmethod
    def _usable(state: GPUState, reference: int | str) -> str:
        gpu = _find(state, str(reference))
        if gpu.reading.uuid is None or gpu.reading.fault is FaultKind.LOST:
            raise GPULost(f"GPU {reference} cannot be held: {gpu.judgement.reason}.")
        return gpu.reading.uuid

    def update_task_progress(
        self,
        task_id: str,
        progress: float | Keep | None = Keep.KEEP,
        estimated_remaining_time: float | Keep | None = Keep.KEEP,
    ) -> TaskView:
        """Records how far a task is, in %, and how many seconds it still needs; None: no longer known.

        Raises TaskNotFound.
        """
        return self._show(self._registry.update_progress(task_id, progress, estimated_remaining_time))

    def owner_of_task(self, task_id: str) -> str | None:
        """The user that a registered task belongs to; None: nobody. Raises TaskNotFound, TaskIsTraining."""
        return self._registry.get(task_id).owner

    def unregister_task(self, task_id: str) -> TaskView:
        """Frees the task's GPUs; each is draining until its memory is back. Raises TaskNotFound."""
        return self._show(self._registry.release(task_id))

    def get_task(self, task_id: str) -> TaskView:
        """A registered task. Raises TaskNotFound."""
        return self._show(self._registry.get(task_id))

    def get_tasks(self, page: PageRequest) -> Page[TaskView]:
        """The registered tasks that whoever asks may see, oldest first."""
        seen = [task for task in self._registry.list() if current_sight.get().sees(task.owner)]
        return paginate(seen, lambda task: task.serial, page).map(self._show)

    def count_tasks(self) -> Counter[TaskType]:
        """How many tasks of each type hold GPUs, of those that whoever asks may see."""
        holders = [task for task in self._registry.holders().values() if task.hold is None]
        seen = [task for task in holders if current_sight.get().sees(task.owner)]
        return Counter({task.task_id: task.task_type for task in seen}.values())

    def _show(self, task: RegisteredTask) -> TaskView:
        indices = self._state.indices
        return TaskView(
            task_id=task.task_id,
            task_type=task.task_type,
            gpu_ids=tuple(indices.get(uuid) for uuid in task.gpu_uuids),
            gpu_uuids=task.gpu_uuids,
            description=task.description,
            pid=None if task.process is None else task.process.pid,
            progress=task.progress,
            estimated_remaining_time=task.estimated_remaining_time,
            started_at=task.started_at,
            updated_at=task.updated_at,
            owner=task.owner,
        )


def _has_free(gpu: JudgedGPU, needed_mb: int) -> bool:
    if needed_mb == 0:
        return True
    free = gpu.vitals.memory_free_mb
    return free is not None and free >= needed_mb


def _find(state: GPUState, reference: str) -> JudgedGPU:
    for gpu in state.gpus:
        if reference in (gpu.reading.uuid, str(gpu.reading.index)) and reference != "None":
            return gpu
    known = [gpu.reading.index for gpu in state.gpus]
    raise GPUNotFound(f'No GPU has the index or UUID "{reference[:80]}".', data={"gpu_ids": known})
