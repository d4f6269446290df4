"""The machines: takes what they tell, keeps it in the database for every head, and drains them."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from api import __version__
from api.domain.event import Severity
from api.domain.node import (
    Drain,
    KeptNode,
    MachineReport,
    NodeInfo,
    NodePlace,
    NodeRole,
    NodeStatus,
    ReportReceipt,
    find_name,
    fold_name,
)
from api.domain.reading import SourceName
from api.domain.reason import Reason
from api.errors import Invalid, NodeIsThere, NodeNameTaken, NodeNotFound, ReportReplayed, ServiceError
from api.executors.executor import NodeState
from api.gpus.other_machines import NodePart, judge_node
from api.gpus.service import GPUService
from api.nodes.fleet_store import FleetStore, refuse_name
from api.nodes.freshness import Freshness
from api.nodes.heard import Heard, RowWatch, encode_kept, parse_report, read_kept
from api.nodes.other_heads import OtherHeads
from api.nodes.refusals import Refusals, check_name
from api.nodes.shared_storage import SharedStorage
from api.nodes.versions import warn
from api.nodes.view import list_held, show_nodes
from api.nodes.wire import take_report
from api.util.clock import Clock
from api.util.deadlines import READ_SECONDS, hurrying
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two looks at what other heads were told, and at which nodes are drained.
LOOK_SECONDS = 2.0

#: Seconds within which a node's reports are kept in the database once; memory has each.
KEEP_SECONDS = 4.0

#: Seconds that a report may take to be kept: a node waits 4 s for its answer.
KEPT_WITHIN_SECONDS = 1.5

#: Seconds between two signs of life of a head, where there are other machines.
_HEAD_SECONDS = 5.0

#: The most nodes that there may be, and the most GPUs that they may have together.
MOST_NODES = 5_000
MOST_GPUS = 20_000


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
        self._heard: dict[str, Heard] = {}
        self._kept: Mapping[str, KeptNode] = {}
        self._statuses: dict[str, NodeStatus] = {}
        self._lock = threading.Lock()
        self._refusals = Refusals(clock)
        self._turns: dict[str, threading.Lock] = {}  #: who hears a node now, by name
        self._others = OtherHeads(node, clock, store.reports)
        self._rows = RowWatch()
        self._looked_at: float | None = None  #: when the last look that succeeded began, monotonic
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
        """Takes a node's report. Raises Invalid for what cannot be true, NodeNameTaken for a name that is another's,
        ReportReplayed for a report that is no newer than the last.
        """
        check_name(name)
        with self._lock:
            turn = self._turns.setdefault(fold_name(name), threading.Lock())
        try:
            report = parse_report(told, name)
            self._refuse(self._spell(name), report)
            # One after the other: of two at once the older would else take the place of the newer, here or in the
            # database.
            with turn:
                name = self._spell(name)
                return self._receive(name, report)
        except (Invalid, NodeNameTaken, ReportReplayed) as error:
            self._refusals.note(self._spell(name), error, is_known=self._spell(name) in self._heard)
            raise

    def _spell(self, name: str) -> str:
        """The name as it is known already: names that differ in case alone are one."""
        with self._lock:
            return name if name in self._heard else find_name(name, (self._node, *self._heard)) or name

    def _receive(self, name: str, report: MachineReport) -> ReportReceipt:
        monotonic, now = self._clock.monotonic(), self._clock.now()
        self._refuse(name, report)
        before = self._heard.get(name)
        fresh = Freshness.of(report) if before is None else before.fresh.after(report)
        if fresh is None:
            raise ReportReplayed
        heard = self._make_heard(take_report(name, report, monotonic, now), report, fresh, now)
        if before is not None and before.has_overtaken(heard):
            return self._receipt(before)
        is_news = before is None or before.known.place != report.place or report.leaves
        is_news = is_news or (before is not None and (before.part.has_left or not before.part.is_heard))
        if is_news or monotonic - heard.kept_at >= KEEP_SECONDS:
            self._keep(heard, report, now)
        with self._lock:
            self._heard[name] = heard
        if self._shared is not None:
            self._shared.note(name, report.storage, monotonic)
        if is_news:
            self._note_version(heard.known)
        self._hand_on(name, report)
        return self._receipt(heard)

    def _make_heard(self, part: NodePart, report: MachineReport, fresh: Freshness, now: datetime) -> Heard:
        before = self._heard.get(part.node)
        known = KeptNode(
            name=part.node,
            role=NodeRole.NODE,
            place=report.place,
            version=report.version[:64],
            clock_offset=report.clock_offset,
            first_seen=now if before is None else before.known.first_seen,
            last_seen=now,
            left_at=now if report.leaves else None,
            drain=self._drain(part.node),
        )
        heard = Heard(part, known, fresh)
        if before is not None:
            heard.serial, heard.kept_at = before.serial, before.kept_at
        return heard

    def _refuse(self, name: str, report: MachineReport) -> None:
        place, now = report.place, self._clock.monotonic()
        if name == self._node:
            raise NodeNameTaken(
                f'This head, on {self._own}, is called "{name}": give the node on {place} a NODE_NAME of its own.',
                data={"host": self._own.host, "port": self._own.port, "last_seen": self._clock.now()},
            )
        before = self._heard.get(name)
        if before is not None and not before.part.is_silent(now):
            refuse_name(before.known, place)
        if before is None and len(self._heard) >= MOST_NODES:
            raise Invalid(f"There are {MOST_NODES:,} nodes, which is the most: DELETE those that are gone.")
        more = len(report.gpus) - (0 if before is None else len(before.part.snapshot.gpus))
        if more > 0 and more + self._count_others() > MOST_GPUS:
            raise Invalid(f"The nodes would have more than {MOST_GPUS:,} GPUs together: DELETE nodes that are gone.")

    def _count_others(self) -> int:
        with self._lock:
            return sum(len(heard.part.snapshot.gpus) for heard in self._heard.values())

    def _keep(self, heard: Heard, report: MachineReport, now: datetime) -> None:
        """Writes a report down for the other heads, and for this one when it begins anew."""
        name, place, monotonic = heard.part.node, report.place, heard.part.heard
        uuids = [gpu.uuid for gpu in heard.part.snapshot.gpus if gpu.uuid is not None]
        try:
            body = encode_kept(report, heard.fresh, self._gpus.find_disputed(name, uuids))
            with hurrying(KEPT_WITHIN_SECONDS):
                mark = self._store.note_report(heard.known, place, body, now, self._rows.find_silent(name, monotonic))
        except NodeNameTaken:
            raise
        except ServiceError as error:
            # It counts here all the same: the GPUs are as they are, whatever the database says.
            logger.warning("what a node told cannot be kept", extra={"node": name, "problem": str(error)})
        else:
            heard.serial, heard.kept_at = mark[0], monotonic
            self._rows.note(name, mark, monotonic)

    def _note_version(self, known: KeptNode) -> None:
        for warning in warn(known.version, known.clock_offset):
            logger.warning("node %s: %s", known.name, warning.message)

    def _hand_on(self, name: str = "", report: MachineReport | None = None) -> None:
        with self._lock:
            parts = {name: heard.part for name, heard in self._heard.items()}
            drains = {name: kept.drain.words for name, kept in self._kept.items() if kept.drain is not None}
        self._gpus.note_nodes(parts, drains, () if report is None else report.xids, name)
        self._tell_changes(parts)

    def _receipt(self, heard: Heard) -> ReportReceipt:
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
        began = self._clock.monotonic()
        with hurrying(READ_SECONDS):
            kept = self._store.list()
            news = [name for name, (node, serial) in kept.items() if self._is_news(name, node, serial)]
            reports = self._store.reports(news) if news else {}
            self._others.look({name: node for name, (node, _) in kept.items()})
        monotonic = self._clock.monotonic()
        with self._lock:
            self._kept = {name: node for name, (node, _) in kept.items()}
            for name, (node, serial) in kept.items():
                self._rows.note(name, (serial, node.last_seen), monotonic)
            self._rows.keep_only(kept)
            for name in list(self._heard):
                if self._is_gone(name, kept[name][0] if name in kept else None):
                    self._drop(name)
            for name in self._turns.keys() - set(map(fold_name, self._heard)):
                if not self._turns[name].locked():
                    del self._turns[name]
            for name, body in reports.items():
                self._take_kept(name, body, *kept[name])
        self._looked_at = began
        self._sign()
        self._hand_on()

    def _sign(self) -> None:
        # One machine alone says once that it is there.
        now, is_first = self._clock.monotonic(), self._signed_at == float("-inf")
        is_seen = bool(self._heard) or self._others.are_there
        if is_first or (is_seen and now - self._signed_at >= _HEAD_SECONDS):
            self._store.note_head(self._node, self._own, __version__, self._count_gpus(), self._clock.now())
            self._signed_at = now

    def _drop(self, name: str) -> None:
        self._heard.pop(name, None)
        if self._shared is not None:
            self._shared.forget(name)

    def _is_gone(self, name: str, kept: KeptNode | None) -> bool:
        """Whether a node that was heard is none any more: it was forgotten, or its machine has a head of its own now,
        which is another's to show. One that is heard all the same is there, whatever its row says.
        """
        heard = self._heard[name]
        if kept is None:
            return heard.serial is not None
        is_there = judge_node(heard.part, {}, self._clock.monotonic()).status is NodeStatus.UP
        return kept.role is NodeRole.ALL and not is_there

    def _take_kept(self, name: str, body: bytes, node: KeptNode, serial: int | None) -> None:
        before, since = self._heard.get(name), self._looked_at
        # A row that changed since the last look was written after that began; of one that is seen for the first time
        # since the start nothing shows how old it is.
        if before is not None and before.part.is_heard:
            since = max(since or before.part.heard, before.part.heard)
        later = read_kept(node, body, serial, since, self._clock.monotonic())
        if later is None:
            return
        if before is not None and before.has_overtaken(later):
            before.serial = serial
            return
        self._heard[name] = later
        if self._shared is not None and later.part.is_heard:
            self._shared.note(name, later.storage, later.part.heard)

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
        nodes = self.list()
        spelt = find_name(name, [node.name for node in nodes])
        found = next((node for node in nodes if node.name == spelt), None)
        if found is None:
            raise NodeNotFound(f'No node is called "{name[:80]}".', data={"nodes": [node.name for node in nodes]})
        return found

    def drain(self, name: str, reason: str, by: str) -> NodeInfo:
        """Has nothing new started on a node; what runs there goes on. Raises NodeNotFound."""
        name = self.get(name).name
        self._store.drain(name, Drain(self._clock.now(), reason, by))
        self.look()
        return self.get(name)

    def undrain(self, name: str) -> NodeInfo:
        """Lets things be started on a node again. Raises NodeNotFound."""
        name = self.get(name).name
        self._store.undrain(name)
        self.look()
        return self.get(name)

    def forget(self, name: str) -> NodeInfo:
        """Forgets a node that is no longer there. Raises NodeNotFound, and NodeIsThere while it is heard."""
        node = self.get(name)
        if node.is_this_server or node.state in (NodeStatus.UP, NodeStatus.DRAINING):
            raise NodeIsThere(f"{name} is heard: end its service first.")
        self._store.forget(node.name)
        with self._lock:
            self._drop(node.name)
        self.look()
        return node
