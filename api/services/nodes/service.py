"""The machines: takes what they tell, keeps it in the database for every head, and drains them."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from api import __version__
from api.errors import Invalid, NodeIsThere, NodeNameTaken, NodeNotFound, ServiceError
from api.executors.executor import NodeState
from api.models.event import Severity
from api.models.node import (
    Drain,
    KeptNode,
    MachineReport,
    NodeInfo,
    NodePlace,
    NodeRole,
    NodeStatus,
    ReportReceipt,
)
from api.models.reading import SourceName
from api.models.reason import Reason
from api.models.shared_storage import ToldStorage
from api.services.gpus.other_machines import NodePart, judge_node
from api.services.gpus.service import GPUService
from api.services.nodes.other_heads import OtherHeads
from api.services.nodes.refusals import Refusals, check_name
from api.services.nodes.shared_storage import SharedStorage
from api.services.nodes.versions import warn
from api.services.nodes.view import list_held, show_nodes
from api.services.nodes.wire import encode_report, take_report
from api.storage.fleet import FleetStore, refuse_name
from api.utils.clock import Clock
from api.utils.deadlines import READ_SECONDS, hurrying
from api.utils.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two looks at what other heads were told, and at which nodes are drained.
LOOK_SECONDS = 2.0

#: Seconds within which a node's reports are kept in the database once; memory has each.
KEEP_SECONDS = 4.0

#: Seconds that a report may take to be kept: a node waits 4 s for its answer.
KEPT_WITHIN_SECONDS = 1.5

#: Seconds between two signs of life of a head, where there are other machines.
_HEAD_SECONDS = 5.0

#: The most nodes that there may be.
MOST_NODES = 5_000


@dataclass(slots=True)
class _Heard:
    """What this process knows of another machine."""

    part: NodePart
    known: KeptNode
    serial: int | None = None  #: of the report in the database that `part` is at least as new as
    kept_at: float = float("-inf")  #: monotonic
    storage: ToldStorage | None = None  #: what it told of the storage that it shares

    def has_overtaken(self, later: NodePart, place: NodePlace | None) -> bool:
        """Whether what comes now was told before what is known: on its way one report may overtake another."""
        if place is None or self.known.place is None or place.started != self.known.place.started:
            return False
        if self.part.has_left:
            return not later.has_left
        return later.snapshot.sequence < self.part.snapshot.sequence


class NodeService:
    """What is known of the machines."""

    def __init__(
        self,
        store: FleetStore,
        gpus: GPUService,
        clock: Clock,
        own: NodePlace,
        node: str,
        shared: SharedStorage | None = None,
    ) -> None:
        """`own` is where this server runs, `node` the name of its machine. `shared` is the storage that all machines of
        a cluster are to see.
        """
        self._shared = shared
        self._store = store
        self._gpus = gpus
        self._clock = clock
        self._own = own
        self._node = node
        self._heard: dict[str, _Heard] = {}
        self._kept: Mapping[str, KeptNode] = {}
        self._statuses: dict[str, NodeStatus] = {}
        self._lock = threading.Lock()
        self._refusals = Refusals(clock)
        self._turns: dict[str, threading.Lock] = {}  #: who hears a node now, by name
        self._others = OtherHeads(node, clock, store.reports)
        self._signed_at = float("-inf")
        self._is_blind = False
        self._engine: Callable[[], Sequence[NodeState]] = tuple
        self._loop = PeriodicThread("nodes", LOOK_SECONDS, self._look_again)

    def start(self) -> None:
        """Takes up what the database knows, and begins to look for news of other heads."""
        self._loop.start()

    def stop(self) -> None:
        """Ends the loop."""
        self._loop.stop()
        if self._shared is not None:
            self._shared.stop()

    # What nodes tell

    def receive(self, name: str, told: Mapping[str, Any]) -> ReportReceipt:
        """Takes a node's report. Raises Invalid for what cannot be true, NodeNameTaken for a name that is another's."""
        check_name(name)
        try:
            return self._take(name, _check(told))
        except (Invalid, NodeNameTaken) as error:
            # Of one that nobody knows only its own log tells.
            if name in self._heard:
                self._refusals.note(name, error)
            raise

    def _take(self, name: str, report: MachineReport) -> ReportReceipt:
        self._refuse(name, report.place, self._clock.now())
        with self._lock:
            turn = self._turns.setdefault(name, threading.Lock())
        # One after the other: of two at once the older would else take the place of the newer, here or in the database.
        with turn:
            return self._receive(name, report)

    def _receive(self, name: str, report: MachineReport) -> ReportReceipt:
        monotonic, now = self._clock.monotonic(), self._clock.now()
        self._refuse(name, report.place, now)
        before = self._heard.get(name)
        known = KeptNode(
            name=name,
            role=NodeRole.NODE,
            place=report.place,
            version=report.version[:64],
            clock_offset=report.clock_offset,
            first_seen=now if before is None else before.known.first_seen,
            last_seen=now,
            left_at=now if report.leaves else None,
            drain=None if name not in self._kept else self._kept[name].drain,
        )
        part = take_report(name, report, monotonic, now)
        if before is not None and before.has_overtaken(part, report.place):
            return self._receipt(before)
        heard = _Heard(part, known, None if before is None else before.serial)
        heard.kept_at = float("-inf") if before is None else before.kept_at
        is_news = before is None or before.known.place != known.place or report.leaves or before.part.has_left
        if is_news or monotonic - heard.kept_at >= KEEP_SECONDS:
            self._keep(heard, report, now)
        with self._lock:
            self._heard[name] = heard
        if self._shared is not None:
            self._shared.note(name, report.storage, monotonic)
        if is_news:
            self._note_version(known)
        self._hand_on(report)
        return self._receipt(heard)

    def _refuse(self, name: str, place: NodePlace, now: datetime) -> None:
        if name == self._node:
            raise NodeNameTaken(
                f'This head, on {self._own}, is called "{name}": give the node on {place} a NODE_NAME of its own.',
                data={"host": self._own.host, "port": self._own.port, "last_seen": now},
            )
        heard = self._heard.get(name)
        if heard is not None:
            refuse_name(heard.known, place, now)
        elif len(self._heard) >= MOST_NODES:
            raise Invalid(f"There are {MOST_NODES:,} nodes, which is the most: DELETE those that are gone.")

    def _keep(self, heard: _Heard, report: MachineReport, now: datetime) -> None:
        """Writes a report down for the other heads, and for this one when it begins anew."""
        place = report.place
        try:
            # Xid errors have been noted: a head that reads this later would count them again.
            body = encode_report(replace(report, xids=()))
            with hurrying(KEPT_WITHIN_SECONDS):
                heard.serial = self._store.note_report(heard.known, place, body, now)
            heard.kept_at = heard.part.heard
        except NodeNameTaken:
            raise
        except ServiceError as error:
            # It counts here all the same: the GPUs are as they are, whatever the database says.
            logger.warning("what a node told cannot be kept", extra={"node": heard.part.node, "problem": str(error)})

    def _note_version(self, known: KeptNode) -> None:
        for warning in warn(known.version, known.clock_offset):
            logger.warning("node %s: %s", known.name, warning.message)

    def _hand_on(self, report: MachineReport | None = None) -> None:
        with self._lock:
            parts = {name: heard.part for name, heard in self._heard.items()}
            drains = {name: kept.drain.words for name, kept in self._kept.items() if kept.drain is not None}
        self._gpus.note_nodes(parts, drains, () if report is None else report.xids)
        self._tell_changes(parts)

    def _receipt(self, heard: _Heard) -> ReportReceipt:
        name, now = heard.part.node, self._clock.monotonic()
        drain = None if name not in self._kept else self._kept[name].drain
        status = judge_node(heard.part, {} if drain is None else {name: drain.words}, now).status
        return ReportReceipt(
            time=self._clock.now().timestamp(),
            version=__version__,
            state=status,
            drain=drain,
            held=list_held(self._gpus.state, name),
            warnings=tuple(warn(heard.known.version, heard.known.clock_offset)),
            storage=None if self._shared is None else self._shared.call(name),
        )

    def _tell_changes(self, parts: Mapping[str, NodePart]) -> None:
        """Appends an event for each node that came, went, fell silent, or is drained or not any more."""
        now, drains = self._clock.monotonic(), {name: kept.drain for name, kept in self._kept.items() if kept.drain}
        for name, part in parts.items():
            condition = judge_node(part, {each: drain.words for each, drain in drains.items()}, now)
            before = self._statuses.get(name)
            self._statuses[name] = condition.status
            if before is condition.status:
                continue
            is_bad = condition.status is NodeStatus.UNKNOWN
            words = condition.reason or Reason.of("it is there", "is_there")
            message = Reason.of("node {node}: {what}", "node_says", node=name, what=words)
            severity = Severity.CRITICAL if is_bad else Severity.INFO
            self._gpus.note_node(name, severity, message, before, condition.status)
        for name in self._statuses.keys() - parts.keys():
            del self._statuses[name]

    # What other heads were told, and what the database says

    def _look_again(self) -> None:
        try:
            self.look()
        except ServiceError as error:
            # Said once: a database may be away for days. What nodes tell this head itself counts all the same.
            if not self._is_blind:
                logger.warning("what other heads know of nodes cannot be read", extra={"problem": str(error)})
            self._is_blind = True
            self._hand_on()
        else:
            self._is_blind = False

    def look(self) -> None:
        """Reads which nodes there are, which are drained, and what other heads were told since the last look."""
        with hurrying(READ_SECONDS):
            kept = self._store.list()
            news = [name for name, (node, serial) in kept.items() if self._is_news(name, node, serial)]
            reports = self._store.reports(news) if news else {}
            self._others.look({name: node for name, (node, _) in kept.items()})
        monotonic, now = self._clock.monotonic(), self._clock.now()
        with self._lock:
            self._kept = {name: node for name, (node, _) in kept.items()}
            for name in list(self._heard):
                if self._is_gone(name, kept[name][0] if name in kept else None):
                    del self._heard[name]
                    if self._shared is not None:
                        self._shared.forget(name)
            for name in self._turns.keys() - self._heard.keys():
                if not self._turns[name].locked():
                    del self._turns[name]
            for name, body in reports.items():
                node, serial = kept[name]
                heard = _read_kept(node, body, serial, monotonic, now)
                if heard is not None:
                    self._take_kept(name, heard)
        # One machine alone says once that it is there.
        is_first = self._signed_at == float("-inf")
        is_seen = bool(self._heard) or self._others.are_there
        if is_first or (is_seen and monotonic - self._signed_at >= _HEAD_SECONDS):
            self._store.note_head(self._node, self._own, __version__, self._count_gpus(), now)
            self._signed_at = monotonic
        self._hand_on()

    def _is_gone(self, name: str, kept: KeptNode | None) -> bool:
        """Whether a node that was heard is none any more: it was forgotten, or its machine has a head of its own now,
        which is another's to show. One that is heard all the same is there, whatever its row says.
        """
        heard = self._heard[name]
        if kept is None:
            return heard.serial is not None
        is_there = judge_node(heard.part, {}, self._clock.monotonic()).status is NodeStatus.UP
        return kept.role is NodeRole.ALL and not is_there

    def _take_kept(self, name: str, heard: _Heard) -> None:
        before = self._heard.get(name)
        if before is not None and before.has_overtaken(heard.part, heard.known.place):
            before.serial = heard.serial
            return
        self._heard[name] = heard
        if self._shared is not None:
            self._shared.note(name, heard.storage, heard.part.heard)

    def _count_gpus(self) -> int:
        """How many GPUs this machine really has."""
        state = self._gpus.state
        return 0 if state.snapshot.source is SourceName.SIMULATED else len(state.own_gpus)

    def _is_news(self, name: str, node: KeptNode, serial: int | None) -> bool:
        heard = self._heard.get(name)
        if name == self._node or node.role is not NodeRole.NODE or serial is None:
            return False
        return heard is None or heard.serial is None or serial > heard.serial

    # What people ask and want

    def show_engine(self, nodes: Callable[[], Sequence[NodeState]]) -> None:
        """Has what a cluster's engine says of the machines shown beside each; `nodes` tells it at once."""
        self._engine = nodes

    def list(self) -> tuple[NodeInfo, ...]:
        """Every node, this server's own first."""
        with self._lock:
            known = {name: heard.known for name, heard in self._heard.items()}
            kept = {**self._kept, **{name: replace(node, drain=self._drain(name)) for name, node in known.items()}}
        own = replace(kept.get(self._node, KeptNode(self._node)), role=NodeRole.ALL, place=self._own)
        own = replace(own, version=__version__, last_seen=self._clock.now())
        storages = {} if self._shared is None else {name: self._shared.show(name) for name in known}
        shown = show_nodes(self._gpus.seen.state, {**kept, self._node: own}, self._engine(), storages)
        said = {self._node: self._others.warn()}
        return tuple(
            replace(node, warnings=(*node.warnings, *self._refusals.warn(node.name), *said.get(node.name, ())))
            for node in shown
        )

    def _drain(self, name: str) -> Drain | None:
        return None if name not in self._kept else self._kept[name].drain

    def get(self, name: str) -> NodeInfo:
        """One node. Raises NodeNotFound."""
        found = next((node for node in self.list() if node.name == name), None)
        if found is None:
            raise NodeNotFound(f'No node is called "{name[:80]}".', data={"nodes": [node.name for node in self.list()]})
        return found

    def drain(self, name: str, reason: str, by: str) -> NodeInfo:
        """Has nothing new started on a node; what runs there goes on. Raises NodeNotFound."""
        self.get(name)
        self._store.drain(name, Drain(self._clock.now(), reason, by))
        self.look()
        return self.get(name)

    def undrain(self, name: str) -> NodeInfo:
        """Lets things be started on a node again. Raises NodeNotFound."""
        self.get(name)
        self._store.undrain(name)
        self.look()
        return self.get(name)

    def forget(self, name: str) -> NodeInfo:
        """Forgets a node that is no longer there. Raises NodeNotFound, and NodeIsThere while it is heard."""
        node = self.get(name)
        if node.is_this_server or node.state in (NodeStatus.UP, NodeStatus.DRAINING):
            raise NodeIsThere(f"{name} is heard: end its service first.")
        self._store.forget(name)
        with self._lock:
            self._heard.pop(name, None)
        if self._shared is not None:
            self._shared.forget(name)
        self.look()
        return node


def _check(told: Any) -> MachineReport:
    # Loaded with the first report: 9 MB.
    from api.services.nodes.report_check import read_report  # noqa: PLC0415

    return read_report(told)


def _read_kept(node: KeptNode, body: bytes, serial: int | None, monotonic: float, now: datetime) -> _Heard | None:
    """What the database has of a node; its age is by the wall clocks of two heads, as nothing else is left of it."""
    age = max(0.0, (now - node.last_seen).total_seconds()) if node.last_seen is not None else 1e6
    try:
        report = _check(orjson.loads(body))
    except (Invalid, ValueError):
        logger.warning("what a node told another head cannot be read", extra={"node": node.name})
        return None
    # As of then: the ages in it grow by what has gone by since.
    part = take_report(node.name, report, monotonic - age, now)
    is_over = node.left_at is not None
    return _Heard(replace(part, has_left=is_over), node, serial, monotonic - age, report.storage)
