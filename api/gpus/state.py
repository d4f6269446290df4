"""Judge the latest snapshot with its circumstances, and publish the result as one immutable state."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from api.domain.machines.gpu import GPUStatus
from api.domain.machines.gpu_event import EventType
from api.domain.machines.hold import GPUClaim, Hold, HoldKind
from api.domain.machines.node import SILENT_SECONDS, NodeStatus
from api.domain.machines.reading import MAX_GPUS, XidEvent
from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.task import RegisteredTask
from api.gpus.health.circumstances import EngineLookup, EngineStatus, GPUCircumstances, NeighbourRest
from api.gpus.health.events import GPUEvents, describe_xid, xid_severity
from api.gpus.health.judgement import DRAINING_SECONDS, JudgedGPU, is_stale, judge
from api.gpus.health.xid_history import XidCount, XidHistories
from api.gpus.other_machines import (
    NodeCondition,
    NodePart,
    judge_drain,
    judge_node,
    why_unread,
)
from api.gpus.snapshot import GPUReading, GPUSnapshot
from api.util.clock import Clock

#: The maximum number of UUIDs stored per machine. UUIDs that are no longer reported are dropped first.
MOST_CLAIMS = 2 * MAX_GPUS


class GPUOwners:
    """Stores the order in which machines first reported each UUID. Not thread-safe."""

    def __init__(self, own_node: str) -> None:
        self._own_node = own_node
        self._own: set[str] = set()
        self._claims: dict[str, list[str]] = {}  #: the other machines that have reported a UUID, the first one first
        self._uuids: dict[str, dict[str, None]] = {}  #: the UUIDs that each of them has reported, the latest last

    def note_own(self, snapshot: GPUSnapshot) -> None:
        """Record this machine's GPUs: their UUIDs belong to it while this server runs."""
        self._own.update(gpu.uuid for gpu in snapshot.gpus if gpu.uuid is not None)

    def note(self, parts: Collection[NodePart]) -> None:
        """Record the reports of these machines. Undisputed claims come before disputed ones."""
        for is_disputed in (False, True):
            for part in parts:
                for gpu in part.snapshot.gpus:
                    if gpu.uuid is not None and (gpu.uuid in part.disputed) is is_disputed:
                        self._claim(part.node, gpu.uuid)
        for part in parts:
            known = self._uuids.get(part.node, {})
            for uuid in list(known)[: max(0, len(known) - MOST_CLAIMS)]:
                self._withdraw(part.node, uuid)

    def _claim(self, node: str, uuid: str) -> None:
        claims = self._claims.setdefault(uuid, [])
        if node not in claims:
            claims.append(node)
        known = self._uuids.setdefault(node, {})
        known.pop(uuid, None)
        known[uuid] = None

    def forget(self, node: str) -> None:
        """Remove a machine and its claims."""
        for uuid in list(self._uuids.get(node, ())):
            self._withdraw(node, uuid)
        self._uuids.pop(node, None)

    def _withdraw(self, node: str, uuid: str) -> None:
        del self._uuids[node][uuid]
        self._claims[uuid].remove(node)
        if not self._claims[uuid]:
            del self._claims[uuid]

    def find_disputed(self, node: str, uuids: Iterable[str]) -> frozenset[str]:
        """Return those of these UUIDs that another machine reported before this node."""
        return frozenset(uuid for uuid in uuids if uuid in self._own or self._claims.get(uuid, [node])[0] != node)

    def find_duplicates(
        self, parts: Iterable[NodePart], held: Collection[str], now: float
    ) -> Mapping[tuple[str, str], str]:
        """Return the GPUs whose UUID belongs to another machine, as that machine by node and UUID.

        A UUID belongs to this machine, else to the first machine that reported it and still does. While that machine is
        silent the UUID belongs to the next one, as a board may have moved, unless a task holds the GPU (`held`).
        """
        duplicates: dict[tuple[str, str], str] = {}
        contested: dict[str, list[NodePart]] = {}
        for part in parts:
            for gpu in part.snapshot.gpus:
                if gpu.uuid in self._own:
                    duplicates[part.node, gpu.uuid] = self._own_node
                elif gpu.uuid is not None and len(self._claims.get(gpu.uuid, ())) > 1:
                    contested.setdefault(gpu.uuid, []).append(part)
        for uuid, rivals in contested.items():
            owner = self._find_owner(uuid, rivals, uuid in held, now)
            duplicates.update({(part.node, uuid): owner for part in rivals if part.node != owner})
        return duplicates

    def _find_owner(self, uuid: str, rivals: list[NodePart], is_held: bool, now: float) -> str:
        claims = self._claims[uuid]
        if is_held:
            return claims[0]
        rivals.sort(key=lambda part: claims.index(part.node))
        return next((part for part in rivals if not part.has_left and not part.is_silent(now)), rivals[0]).node


@dataclass(frozen=True, slots=True)
class GPUState:
    """All judged GPUs at one moment. Every answer about a moment is built from one such state."""

    node: str  #: this machine, as the database names it
    snapshot: GPUSnapshot
    gpus: tuple[JudgedGPU, ...]
    xids: Mapping[tuple[str, int], XidCount]
    failed_sweeps: int
    startable: frozenset[str] = frozenset()  #: the nodes on which the executor can start attempts
    has_cluster: bool = False  #: whether these are the nodes of a cluster, not only this machine
    parts: Mapping[str, NodePart] = field(default_factory=dict)  #: the other nodes, by name
    nodes: tuple[NodeCondition, ...] = ()  #: this machine first, then the others
    #: GPUs with an undisputed UUID, by that UUID, for the frequent lookups of running attempts.
    by_uuid: Mapping[str, JudgedGPU] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = {gpu.reading.uuid: gpu for gpu in self.gpus if gpu.reading.uuid is not None and not gpu.is_twin}
        object.__setattr__(self, "by_uuid", known)

    @property
    def is_fleet(self) -> bool:
        """Whether there are other machines."""
        return bool(self.parts)

    @property
    def own_gpus(self) -> tuple[JudgedGPU, ...]:
        """The GPUs of this machine."""
        return tuple(gpu for gpu in self.gpus if gpu.node == self.node) if self.parts else self.gpus

    @property
    def other_uuids(self) -> frozenset[str | None]:
        """The UUIDs of the other machines' GPUs."""
        return frozenset(gpu.reading.uuid for gpu in self.gpus if gpu.node != self.node and not gpu.is_twin)

    def drain_of(self, node: str) -> Reason | None:
        """Return why a node starts nothing new, as a sentence, or None."""
        drain = next(
            (each.reason for each in self.nodes if each.name == node and each.status is NodeStatus.DRAINING), None
        )
        return (
            None if drain is None else Reason.of("the node {node} is drained: {why}", "drained", node=node, why=drain)
        )

    def snapshot_of(self, node: str) -> GPUSnapshot:
        """Return the last snapshot of a node."""
        part = self.parts.get(node)
        return self.snapshot if part is None else part.snapshot

    @property
    def indices(self) -> dict[str, int | None]:
        """The index of each GPU, by UUID."""
        return {uuid: gpu.reading.index for uuid, gpu in self.by_uuid.items()}


@dataclass(frozen=True, slots=True)
class _NodeContext:
    """The values that apply to all GPUs of a node."""

    node: str
    problem: ReasonOrText | None
    max_age: float
    drain: Reason | None


class GPUStateKeeper:
    """Judges each snapshot by tasks, Xid errors and time, and stores what this requires.

    Not thread-safe: the owner holds a lock.
    """

    def __init__(self, node: str, clock: Clock, max_age: float, events: GPUEvents) -> None:
        self._node = node
        self._engine: EngineLookup = lambda node, index: None
        self._startable: Callable[[], Collection[str]] = lambda: (node,)
        self._has_cluster = False
        self._why_not: Callable[[str], Reason | None] = lambda node: None
        self._clock = clock
        self._max_age = max_age
        self._others_age = max(max_age, SILENT_SECONDS)
        self._events = events
        self._released: dict[str, float] = {}
        self.timed_holds: Mapping[str, Sequence[Hold]] = {}  #: the pauses and claims of each GPU, by UUID
        self.rests: Mapping[str, NeighbourRest] = {}  #: what neighbours still hold, by UUID
        self.xids = XidHistories(node, clock)
        self.past_problem: Reason | None = None  #: why the errors before this server's start are unknown
        self.owners = GPUOwners(node)
        self._failed_sweeps = 0
        self._last_sequence = 0
        self._parts: dict[str, NodePart] = {}
        self._drains: Mapping[str, Reason] = {}

    def update_nodes(self, parts: Mapping[str, NodePart], drains: Mapping[str, Reason]) -> bool:
        """Process the last reports of the other nodes, and the drained nodes.

        Returns True if the change is urgent: a node was added, removed, drained or undrained.
        """
        is_urgent = drains != self._drains or parts.keys() != self._parts.keys()
        is_urgent = is_urgent or any(part.has_left != self._parts[name].has_left for name, part in parts.items())
        changed = [part for name, part in parts.items() if part is not self._parts.get(name)]
        self.owners.note(changed)
        for part in changed:
            if part.has_reported:
                self.xids.clear_reset(part.node, part.snapshot, part.boot)
        for name in self._parts.keys() - parts.keys():
            self.owners.forget(name)
            self.xids.forget(name)
        self._parts, self._drains = dict(parts), drains
        self._events.is_fleet = bool(parts)
        return is_urgent

    def offer_from(self, nodes: Callable[[], Collection[str]], find_status: EngineLookup | None = None) -> None:
        """Offer the GPUs of these nodes instead of this machine's only, with an engine's status of each.

        Both functions are called at each judgement.
        """
        self._startable, self._has_cluster = nodes, True
        self._engine = find_status or self._engine

    def withhold_where(self, why_not: Callable[[str], Reason | None]) -> None:
        """Offer no GPU of a node for which this function returns a reason. It is called at each judgement."""
        self._why_not = why_not

    def judge(self, snapshot: GPUSnapshot, held: Mapping[str, RegisteredTask] | None) -> GPUState:
        """Return the state for this snapshot now. Changes since the last one become events.

        `held` is None if the holders are unknown.
        """
        if snapshot.sequence != self._last_sequence:
            self._last_sequence = snapshot.sequence
            self._failed_sweeps += snapshot.problem is not None
            self.owners.note_own(snapshot)
            self.xids.clear_reset(self._node, snapshot, self._clock.mark().boot_id)
        now = self._clock.monotonic()
        own = _NodeContext(
            self._node, snapshot.problem or self.past_problem, self._max_age, self._drains.get(self._node)
        )
        gpus = [self._judge(gpu, own, held, now) for gpu in snapshot.gpus]
        nodes = [
            judge_drain(self._node, self._drains),
            *(judge_node(p, self._drains, now) for p in self._parts.values()),
        ]
        gpus += self._judge_others(nodes[1:], held, now)
        self._end_draining(gpus, now)
        gone = {node.name for node in nodes if node.status in (NodeStatus.DOWN, NodeStatus.UNKNOWN)}
        self._events.compare(self._clock.now(), snapshot, gpus, gone)
        return GPUState(
            node=self._node,
            snapshot=snapshot,
            gpus=tuple(gpus),
            xids=self.xids.counts(gpus),
            failed_sweeps=self._failed_sweeps,
            startable=frozenset(self._startable()),
            has_cluster=self._has_cluster,
            parts=dict(self._parts),
            nodes=tuple(nodes),
        )

    def _judge_others(
        self,
        nodes: Sequence[NodeCondition],
        held: Mapping[str, RegisteredTask] | None,
        now: float,
    ) -> Iterator[JudgedGPU]:
        duplicates = self.owners.find_duplicates(self._parts.values(), held or {}, now) if self._parts else {}
        for node, part in zip(nodes, self._parts.values(), strict=True):
            context = _NodeContext(
                part.node, why_unread(part, node) or self.past_problem, self._others_age, self._drains.get(part.node)
            )
            for gpu in part.snapshot.gpus:
                yield self._judge(gpu, context, held, now, duplicates.get((part.node, gpu.uuid or "")))

    def _judge(
        self,
        gpu: GPUReading,
        context: "_NodeContext",
        held: Mapping[str, RegisteredTask] | None,
        now: float,
        uuid_owner: str | None = None,
    ) -> JudgedGPU:
        # A GPU with another machine's UUID has neither that GPU's task nor its history.
        uuid = "" if uuid_owner is not None else gpu.uuid or ""
        task = None if held is None else held.get(uuid)
        released = self._released.get(uuid)
        history = None if uuid_owner is not None else self.xids.of(context.node, gpu.uuid)
        around = GPUCircumstances(
            now=now,
            max_age=context.max_age,
            problem=context.problem,
            task=task,
            holders_known=held is not None,
            draining_for=None if released is None else now - released,
            xids=() if history is None else history.codes(now),
            last_xid_at=float("-inf") if history is None else history.last_at,
            engine=self._engine_status(context.node, gpu.index),
            drain=context.drain,
            uuid_owner=uuid_owner,
            rest=self.rests.get(uuid),
        )
        paused_until, claims = self._timed(uuid)
        rest = around.rest
        return JudgedGPU(gpu, judge(gpu, around), task, context.node, False, paused_until, claims, rest)

    def _timed(self, uuid: str) -> tuple[datetime | None, tuple[GPUClaim, ...]]:
        """Return until when a GPU is paused, and the claims on it."""
        paused_until, claims = None, []
        for hold in self.timed_holds.get(uuid, ()):
            if hold.expires_at is None or hold.expires_at <= self._clock.now():
                continue
            if hold.kind is HoldKind.PAUSE:
                paused_until = hold.expires_at
            else:
                claims.append(GPUClaim(hold.reason, hold.memory_mb, hold.expires_at))
        return paused_until, tuple(claims)

    def _engine_status(self, node: str, index: int | None) -> EngineStatus | None:
        why = self._why_not(node)
        if why is not None:
            return EngineStatus(GPUStatus.BUSY, why)
        return None if index is None else self._engine(node, index)

    def staleness_changed(self, state: GPUState) -> bool:
        """Return whether a reading has become too old since this state was judged."""
        now = self._clock.monotonic()
        if any(
            condition.status is not judge_node(self._parts[condition.name], self._drains, now).status
            for condition in state.nodes
            if condition.name in self._parts
        ):
            return True
        return any(
            gpu.judgement.stale
            != is_stale(gpu.reading, now, self._max_age if gpu.node == self._node else self._others_age)
            for gpu in state.gpus
        )

    def note_released(self, uuids: Iterable[str]) -> None:
        """Record that a task has released these GPUs: they are draining until their memory is free."""
        self._released.update(dict.fromkeys(uuids, self._clock.monotonic()))

    def _end_draining(self, gpus: Iterable[JudgedGPU], now: float) -> None:
        for gpu in gpus:
            released = self._released.get(gpu.reading.uuid or "")
            if released is None or gpu.judgement.status is GPUStatus.DRAINING:
                continue
            # Only a reading after the release shows that the memory is free.
            read = gpu.reading.read_monotonic
            if gpu.task is not None or now - released >= DRAINING_SECONDS or (read is not None and read > released):
                del self._released[gpu.reading.uuid or ""]

    def note_xid(self, node: str, event: XidEvent, gpus: Iterable[JudgedGPU]) -> None:
        """Count an error that the driver of a node reported, and include it in the GPU's health.

        The same error of the same GPU within INCIDENT_SECONDS belongs to the same incident, because the driver reports
        an incident several times.
        """
        gpu = next((gpu for gpu in gpus if gpu.node == node and gpu.reading.uuid == event.uuid), None)
        is_foreign = self.owners.find_disputed(node, [event.uuid or ""]) if gpu is None else gpu.is_twin
        if node != self._node and is_foreign:
            # The UUID belongs to another machine, so this node's reports do not affect it.
            return
        task_id = None if gpu is None or gpu.task is None else gpu.task.task_id
        if self.xids.add(node, event, task_id):
            message, severity = describe_xid(event.xid, task_id), xid_severity(event.xid)
            self._events.add(self._clock.now(), EventType.XID, severity, message, gpu=gpu, xid=event.xid, node=node)
