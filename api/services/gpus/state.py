"""The latest snapshot with everything that bears on it, judged and published as one immutable state."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from api.models.event import EventType
from api.models.gpu import GPUStatus
from api.models.reading import FaultKind, XidEvent
from api.models.snapshot import GPUReading, GPUSnapshot
from api.models.task import RegisteredTask
from api.services.gpus.events import GPUEvents, describe_xid, xid_severity
from api.services.gpus.judgement import DRAINING_SECONDS, GPUCircumstances, JudgedGPU, is_stale, judge
from api.services.gpus.metrics import XidCount
from api.services.gpus.xid_history import XidHistory
from api.utils.clock import Clock


@dataclass(frozen=True, slots=True)
class GPUState:
    """All GPUs, judged. Everything that a request sees of one moment comes from one of these."""

    node: str  #: the machine that the GPUs are in, as the database names it
    snapshot: GPUSnapshot
    gpus: tuple[JudgedGPU, ...]
    xids: Mapping[tuple[str, int], XidCount]
    failed_sweeps: int

    @property
    def indices(self) -> dict[str | None, int | None]:
        """The index of each GPU, by UUID."""
        return {gpu.reading.uuid: gpu.reading.index for gpu in self.gpus}


class GPUStateKeeper:
    """Judges each snapshot by the tasks, the Xid errors and the time, and remembers what the judgement needs.

    One caller at a time: the lock is the owner's.
    """

    def __init__(self, node: str, clock: Clock, max_age: float, events: GPUEvents) -> None:
        self._node = node
        self._clock = clock
        self._max_age = max_age
        self._events = events
        self._released: dict[str, float] = {}
        self._xid_counts: dict[tuple[str, int], XidCount] = {}
        self._xids: dict[str, XidHistory] = {}
        self._gone: set[str] = set()
        self._failed_sweeps = 0
        self._last_sequence = 0

    def judge(self, snapshot: GPUSnapshot, held: Mapping[str, RegisteredTask] | None) -> GPUState:
        """The state that this snapshot amounts to now; changes since the last one become events.

        `held` None: who holds them is not known.
        """
        if snapshot.sequence != self._last_sequence:
            self._last_sequence = snapshot.sequence
            self._failed_sweeps += snapshot.problem is not None
            self._forgive_returned(snapshot)
        now = self._clock.monotonic()
        gpus = tuple(self._judge(gpu, snapshot, held, now) for gpu in snapshot.gpus)
        self._end_draining(gpus, now)
        self._events.compare(self._clock.now(), snapshot, gpus)
        return GPUState(self._node, snapshot, gpus, dict(self._xid_counts), self._failed_sweeps)

    def _judge(
        self, gpu: GPUReading, snapshot: GPUSnapshot, held: Mapping[str, RegisteredTask] | None, now: float
    ) -> JudgedGPU:
        task = None if held is None else held.get(gpu.uuid or "")
        released = self._released.get(gpu.uuid or "")
        history = self._xids.get(gpu.uuid or "")
        around = GPUCircumstances(
            now=now,
            max_age=self._max_age,
            problem=snapshot.problem,
            task=task,
            holders_known=held is not None,
            draining_for=None if released is None else now - released,
            xids=() if history is None else history.codes(now),
            last_xid_at=float("-inf") if history is None else history.last_at,
        )
        return JudgedGPU(reading=gpu, judgement=judge(gpu, around), task=task)

    def staleness_changed(self, state: GPUState) -> bool:
        """Whether a reading has become too old since this state was judged."""
        now = self._clock.monotonic()
        return any(gpu.judgement.stale != is_stale(gpu.reading, now, self._max_age) for gpu in state.gpus)

    def note_released(self, uuids: Iterable[str]) -> None:
        """Notes that a task has left these GPUs: they are draining until their memory is back."""
        self._released.update(dict.fromkeys(uuids, self._clock.monotonic()))

    def _end_draining(self, gpus: Iterable[JudgedGPU], now: float) -> None:
        for gpu in gpus:
            released = self._released.get(gpu.reading.uuid or "")
            if released is None or gpu.judgement.status is GPUStatus.DRAINING:
                continue
            # Only a reading from after the release can tell that the memory is back.
            read = gpu.reading.read_monotonic
            if gpu.task is not None or now - released >= DRAINING_SECONDS or (read is not None and read > released):
                del self._released[gpu.reading.uuid or ""]

    def note_xid(self, event: XidEvent, gpus: Iterable[JudgedGPU]) -> None:
        """Counts an error that the driver reported, and lets it bear on the GPU's health.

        The same error of the same GPU again within INCIDENT_SECONDS is the same incident: the driver tells of one in
        several ways.
        """
        now, monotonic = self._clock.now(), self._clock.monotonic()
        gpu = next((gpu for gpu in gpus if gpu.reading.uuid == event.uuid), None)
        task_id = None if gpu is None or gpu.task is None else gpu.task.task_id
        history = self._xids.setdefault(event.uuid or "", XidHistory())
        is_news = history.add(event.xid, monotonic, task_id)
        if is_news:
            message = describe_xid(event.xid, task_id)
            self._events.add(now, EventType.XID, xid_severity(event.xid), message, gpu=gpu, xid=event.xid)
        if event.uuid is None:
            return
        key = (event.uuid, event.xid)
        seen = self._xid_counts.get(key)
        count = (0 if seen is None else seen.count) + is_news
        self._xid_counts[key] = XidCount(count=count, last_at=now.timestamp())

    def _forgive_returned(self, snapshot: GPUSnapshot) -> None:
        """A GPU that was gone and answers again has been reset: its earlier Xid errors no longer bear on it."""
        for gpu in snapshot.gpus:
            if gpu.uuid is None:
                continue
            # A call that hung or failed says nothing of a reset; being gone does, and so does a driver that was.
            if gpu.fault is FaultKind.LOST or snapshot.problem_code is not None:
                self._gone.add(gpu.uuid)
            elif gpu.uuid in self._gone and gpu.fault is None and snapshot.problem is None:
                self._gone.discard(gpu.uuid)
                self._xids.pop(gpu.uuid, None)
