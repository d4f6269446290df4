"""The Xid errors of GPUs since their last reset that affect their health: of one GPU, and of all by machine.

Each machine's reports are stored apart, so that none affects another machine's GPU.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from api.domain.machines.reading import MAX_GPUS, FaultKind, SourceName, XidEvent
from api.gpus.health.judgement import JudgedGPU
from api.gpus.health.xids import FatalXid, XidClass, XidKey, look_up
from api.gpus.snapshot import GPUReading, GPUSnapshot
from api.util.clock import Clock

logger = logging.getLogger(__name__)

#: Seconds after the first report of a code within which all reports are one incident.
INCIDENT_SECONDS = 30.0

#: Seconds for which a non-fatal error is remembered.
DAY_SECONDS = 86_400.0

#: The most incidents stored per code: more than any rule counts.
_KEPT = 16

#: The most different errors counted per other machine, and for all other machines together.
MOST_OF_NODE = 2_000
MOST_OF_OTHERS = 50_000


@dataclass(frozen=True, slots=True)
class XidCount:
    """How often an Xid was reported for a GPU, and the last time (Unix seconds)."""

    count: int
    last_at: float


@dataclass(slots=True)
class XidHistory:
    """Incidents by code, each with its monotonic time and the task that was on the GPU."""

    last_at: float = float("-inf")
    boot: str = ""
    was_action_asked: bool = False
    energy_joules: float | None = None
    #: since this server started; a reset does not change them
    counts: dict[int, XidCount] = field(default_factory=dict)
    _incidents: dict[int, list[tuple[float, str | None]]] = field(default_factory=dict)

    def add(self, code: int, now: float, task_id: str | None) -> bool:
        """Record a report of the driver. Return False if it belongs to a known incident."""
        self.last_at = now
        incidents = self._incidents.setdefault(code, [])
        if incidents and now - incidents[-1][0] < INCIDENT_SECONDS:
            return False
        incidents.append((now, task_id))
        del incidents[:-_KEPT]
        return True

    def codes(self, now: float) -> tuple[int, ...]:
        """Return each code as often as it counts.

        Incidents of a day count, or different tasks; a fatal code counts until a reset.
        """
        found: list[int] = []
        for code, incidents in self._incidents.items():
            recent = [incident for incident in incidents if now - incident[0] < DAY_SECONDS]
            xid = look_up(code)
            times = len({task_id for _, task_id in recent if task_id}) if xid.by_program else len(recent)
            if recent:
                found.extend([code] * max(1, times))
            elif xid.kind is XidClass.FATAL:
                found.append(code)
        return tuple(found)

    def is_reset(self, gpu: GPUReading, boot: str, has_real_counters: bool) -> bool:
        """Return whether a reading shows that the GPU was reset after its errors.

        Signs are a new boot of its machine, a restarted energy counter, and a recovery action that the driver no longer
        requests.
        """
        vitals = gpu.vitals
        if boot and self.boot and boot != self.boot:
            return True
        if vitals is None or gpu.read_monotonic is None or gpu.read_monotonic <= self.last_at:
            return False
        if vitals.recovery_action == 0 and self.was_action_asked:
            return True
        self.was_action_asked = self.was_action_asked or bool(vitals.recovery_action)
        before, energy = self.energy_joules, vitals.energy_joules
        if has_real_counters and energy is not None:
            self.energy_joules = energy
            return before is not None and energy < before
        return False

    def forgive(self) -> None:
        """Clear the incidents, because the GPU was reset."""
        self._incidents = {}
        self.was_action_asked, self.energy_joules = False, None

    def fatal(self, now: float) -> Mapping[int, FatalXid]:
        """Return the errors because of which the GPU must not be offered now, by code."""
        times = Counter(self.codes(now)) if self._incidents else {}
        return {
            code: FatalXid(count, self._last(code), self.boot, self.was_action_asked, self.energy_joules)
            for code, count in times.items()
            if look_up(code).kind_after(count) is XidClass.FATAL
        }

    def _last(self, code: int) -> float:
        return self.counts[code].last_at if code in self.counts else 0.0

    def restore(self, code: int, known: FatalXid, now: float) -> None:
        """Restore a stored error. Its age is unknown, so it counts from now."""
        self._incidents[code] = [(now, f"earlier {number}") for number in range(min(known.times, _KEPT))]
        self.counts.setdefault(code, XidCount(known.times, known.last_at))
        self.boot = self.boot or known.boot
        self.was_action_asked = self.was_action_asked or known.was_action_asked
        self.energy_joules = known.energy_joules if self.energy_joules is None else self.energy_joules


class XidHistories:
    """Histories by machine and UUID. Not thread-safe."""

    def __init__(self, own_node: str, clock: Clock) -> None:
        self._own_node = own_node
        self._clock = clock
        self._by_node: dict[str, dict[str, XidHistory]] = {}
        self._gone: dict[str, set[str]] = {}
        self._boots: dict[str, str] = {}
        self._sizes: Counter[str] = Counter()  #: the number of different errors counted per other machine
        self._full: set[str] = set()

    def of(self, node: str, uuid: str | None) -> XidHistory | None:
        """Return the history of a GPU, or None without errors."""
        return self._by_node.get(node, {}).get(uuid or "")

    def add(self, node: str, event: XidEvent, task_id: str | None) -> bool:
        """Record a report of the driver. Return False if it belongs to a known incident, or there are too many."""
        history = self._by_node.setdefault(node, {}).setdefault(event.uuid or "", XidHistory())
        if event.xid not in history.counts and not self._has_room(node):
            return False
        is_news = history.add(event.xid, self._clock.monotonic(), task_id)
        seen = history.counts.get(event.xid)
        count = (0 if seen is None else seen.count) + is_news
        history.counts[event.xid] = XidCount(count, self._clock.now().timestamp())
        history.boot = self._boots.get(node, "")
        return is_news

    def _has_room(self, node: str) -> bool:
        if node == self._own_node:
            return True
        if self._sizes[node] < MOST_OF_NODE and self._sizes.total() < MOST_OF_OTHERS:
            self._sizes[node] += 1
            return True
        if node not in self._full:
            self._full.add(node)
            logger.warning("node %s reports too many different Xid errors; more are not counted", node)
        return False

    def clear_reset(self, node: str, snapshot: GPUSnapshot, boot: str) -> None:
        """Clear the errors of GPUs that were reset since, according to a machine's snapshot.

        `boot` is the id of the machine's current boot; empty if unknown.
        """
        self._boots[node] = boot or self._boots.get(node, "")
        gone, known = self._gone.setdefault(node, set()), self._by_node.get(node, {})
        is_real = snapshot.source is SourceName.NVML
        for gpu in snapshot.gpus:
            if gpu.uuid is None:
                continue
            history = known.get(gpu.uuid)
            has_returned = self._has_returned(gpu, snapshot, gone)
            if history is not None and (has_returned or history.is_reset(gpu, boot, is_real)):
                history.forgive()
        if node != self._own_node and (snapshot.problem is None or len(known) > MAX_GPUS):
            self._keep_only(node, {gpu.uuid for gpu in snapshot.gpus})

    @staticmethod
    def _has_returned(gpu: GPUReading, snapshot: GPUSnapshot, gone: set[str]) -> bool:
        """Return whether a GPU that was missing answers again, which means that it was reset."""
        uuid = gpu.uuid or ""
        # A hung or failed call does not indicate a reset; a missing GPU does, and so does a failed driver.
        if gpu.fault is FaultKind.LOST or snapshot.problem_code is not None:
            gone.add(uuid)
        elif uuid in gone and gpu.fault is None and snapshot.problem is None:
            gone.discard(uuid)
            return True
        return False

    def _keep_only(self, node: str, uuids: set[str | None]) -> None:
        """Remove the GPUs that another machine no longer has."""
        known = self._by_node.get(node, {})
        for uuid in [each for each in known if each and each not in uuids]:
            self._sizes[node] -= len(known.pop(uuid).counts)
        self._gone[node] &= {uuid for uuid in uuids if uuid is not None}

    def forget(self, node: str) -> None:
        """Remove all data of another machine."""
        for known in (self._by_node, self._gone, self._boots, self._sizes):
            known.pop(node, None)
        self._full.discard(node)

    def counts(self, gpus: Iterable[JudgedGPU]) -> Mapping[tuple[str, int], XidCount]:
        """Return how often each error was reported, by UUID and code.

        It includes other machines' GPUs if their UUID is undisputed.
        """
        own = self._by_node.get(self._own_node, {})
        found = {(uuid, xid): count for uuid, history in own.items() if uuid for xid, count in history.counts.items()}
        if len(self._by_node) > bool(own):
            for gpu in gpus:
                history = None if gpu.is_twin or gpu.node == self._own_node else self.of(gpu.node, gpu.reading.uuid)
                if history is not None:
                    found |= {(gpu.reading.uuid or "", xid): count for xid, count in history.counts.items()}
        return found

    def fatal(self) -> Mapping[XidKey, FatalXid]:
        """Return all errors because of which a GPU must not be offered now."""
        return dict(self._list_fatal(self._clock.monotonic()))

    def _list_fatal(self, now: float) -> Iterator[tuple[XidKey, FatalXid]]:
        for node, gpus in self._by_node.items():
            for uuid, history in gpus.items():
                for xid, known in history.fatal(now).items() if uuid else ():
                    yield (node, uuid, xid), known

    def restore(self, key: XidKey, known: FatalXid) -> None:
        """Restore an error that this server stored before a restart, or that another server has stored."""
        node, uuid, xid = key
        boot = self._boots.get(node, "")
        if boot and known.boot and boot != known.boot:
            return
        history = self._by_node.setdefault(node, {}).setdefault(uuid, XidHistory())
        history.restore(xid, known, self._clock.monotonic())

    def forgive(self, node: str, uuid: str) -> None:
        """Clear the errors of a GPU that another server has seen reset."""
        history = self.of(node, uuid)
        if history is not None:
            history.forgive()
