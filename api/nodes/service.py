"""The use cases of nodes: receive and store their reports, show, drain and forget them."""

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from api import __version__
from api.domain.access.principal import Permission, current_principal
from api.domain.machines.gpu_event import Severity
from api.domain.machines.node import (
    NODE_NAME,
    Drain,
    MachineReport,
    NodeInfo,
    NodeLocation,
    NodeRecord,
    NodeRole,
    NodeStatus,
    NodeWarning,
    ReportReceipt,
    find_name,
    fold_name,
)
from api.domain.machines.reading import SourceName
from api.domain.reason import Reason
from api.errors import Forbidden, Invalid, NodeIsThere, NodeNameTaken, NodeNotFound, ReportReplayed, ServiceError
from api.executors.executor import NodeState
from api.gpus.other_machines import NodePart, judge_node
from api.gpus.service import GPUService
from api.nodes.fleet_store import FleetStore, refuse_name
from api.nodes.last_reports import LastReport, ReportPosition, RowWatch, encode_stored, read_stored
from api.nodes.other_heads import OtherHeads
from api.nodes.report_check import read_report
from api.nodes.shared_storage import SharedStorage
from api.nodes.views import list_held, show_nodes, warn
from api.nodes.wire import take_report
from api.util.clock import Clock
from api.util.deadlines import READ_SECONDS, wait_limit
from api.util.periodic import LoopOwner, PeriodicThread
from api.util.text.terminal_text import show

logger = logging.getLogger(__name__)

#: Seconds between two polls of the database for reports to other heads and for drains.
LOOK_SECONDS = 2.0

#: Seconds between two reports of a node that are stored in the database; memory has each report.
STORE_SECONDS = 4.0

#: The time limit for storing a report, in seconds. A node waits 4 s for its answer.
STORE_TIMEOUT_SECONDS = 1.5

#: Seconds between two heartbeats of a head, if there are other machines.
_HEAD_SECONDS = 5.0

#: The limits of nodes, and of GPUs of all nodes together.
MOST_NODES = 5_000
MOST_GPUS = 20_000

#: Seconds for which a rejection is shown.
SHOWN_SECONDS = 60.0

#: Seconds between two log lines about rejected reports of one node.
LOGGED_SECONDS = 600.0

#: The limit of a rejection's reason, in characters.
_MAX_REASON = 300


def check_name(name: str) -> None:
    """Check a node's name. Raises Invalid for a malformed name, Forbidden if the key is for another node."""
    if re.fullmatch(NODE_NAME, name) is None:
        raise Invalid(f'"{ascii(name[:80])[1:-1]}" is not a node name. Use up to 63 letters, digits, "." and "-".')
    principal = current_principal.get()
    # A node's key is for one machine. Administrators may report for all.
    is_administrator = Permission.SYSTEM_WRITE in principal.permissions
    if not is_administrator and fold_name(principal.user_id) != fold_name(name):
        raise Forbidden(
            f'This key is for the node "{principal.user_id}". Create one for "{name}" on the head: '
            f"python -m api key new --name {name} --permissions nodes:report"
        )


class Refusals:
    """The recently rejected reports, by the node's name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest: dict[str, tuple[float, Reason]] = {}
        self._logged_at: dict[str, float] = {}

    def note(self, name: str, error: ServiceError, is_known: bool = True) -> None:
        """Record why a report of this node was rejected, and log it at most every `LOGGED_SECONDS`.

        Unknown names share one log limit, because any client can invent names.
        """
        first = error.mistakes[0] if error.mistakes else None
        why = error.detail if first is None else f"{error.detail} {first.pointer} {first.message}"
        message = Reason.of(
            "a report with its name was rejected: {why}", "report_refused", why=show(why, _MAX_REASON).rstrip(".")
        )
        now, key = self._clock.monotonic(), name if is_known else ""
        if now - self._logged_at.get(key, float("-inf")) >= LOGGED_SECONDS:
            self._logged_at[key] = now
            logger.warning("node %s: %s", name, message.text)
        if is_known:
            self._latest[name] = now, message

    def warn(self, name: str) -> tuple[NodeWarning, ...]:
        """Return the warnings for a node."""
        at, message = self._latest.get(name, (float("-inf"), None))
        if message is None or self._clock.monotonic() - at > SHOWN_SECONDS:
            return ()
        return (NodeWarning(message.said.code, message.text, message.said),)


class NodeService(LoopOwner):
    """The nodes as this head knows them."""

    def __init__(
        self,
        store: FleetStore,
        gpus: GPUService,
        clock: Clock,
        own: NodeLocation,
        node: str,
        shared: SharedStorage | None = None,
    ) -> None:
        """`own` is the location of this server, `node` the name of its machine.

        `shared` checks the storage that all machines of a cluster share; None without one.
        """
        self._shared = shared
        #: Returns the stored settings that concern nodes.
        self.settings_for_nodes: Callable[[], Mapping[str, str]] = dict
        self._store = store
        self._gpus = gpus
        self._clock = clock
        self._own = own
        self._node = node
        self._latest: dict[str, LastReport] = {}
        self._stored: Mapping[str, NodeRecord] = {}
        self._statuses: dict[str, NodeStatus] = {}
        self._lock = threading.Lock()
        self._refusals = Refusals(clock)
        self._turns: dict[str, threading.Lock] = {}  #: serialise the reports of a node, by its name
        self._others = OtherHeads(node, clock, store.reports)
        self._rows = RowWatch()
        self._looked_at: float | None = None  #: the start of the last successful poll, monotonic
        self._signed_at = float("-inf")
        self._is_blind = False
        self._engine: Callable[[], Sequence[NodeState]] = tuple
        self._thread = PeriodicThread("nodes", LOOK_SECONDS, self._poll)

    def stop(self) -> None:
        """Stop the loop and the probes of the storage."""
        self._thread.stop()
        if self._shared is not None:
            self._shared.stop()

    # -- reports -------------------------------------------------------------------------------------------------------

    def receive(self, name: str, body: Mapping[str, Any]) -> ReportReceipt:
        """Take a node's report and return the receipt.

        Raises Invalid for an implausible report, Forbidden for a wrong key, NodeNameTaken for the name of another
        machine, ReportReplayed for a report that is not newer than the last.
        """
        check_name(name)
        with self._lock:
            turn = self._turns.setdefault(fold_name(name), threading.Lock())
        try:
            report = read_report(body, name)
            self._check_accepted(self._spell(name), report)
            # One at a time: otherwise the older of two reports could replace the newer one, here or in the database.
            with turn:
                name = self._spell(name)
                return self._receive(name, report)
        except (Invalid, NodeNameTaken, ReportReplayed) as error:
            self._refusals.note(self._spell(name), error, is_known=self._spell(name) in self._latest)
            raise

    def _spell(self, name: str) -> str:
        """Return the known spelling of a name. Names that differ only in case are equal."""
        with self._lock:
            return name if name in self._latest else find_name(name, (self._node, *self._latest)) or name

    def _receive(self, name: str, report: MachineReport) -> ReportReceipt:
        monotonic, now = self._clock.monotonic(), self._clock.now()
        self._check_accepted(name, report)
        before = self._latest.get(name)
        position = ReportPosition.of(report) if before is None else before.position.after(report)
        if position is None:
            raise ReportReplayed
        latest = self._make_latest(take_report(name, report, monotonic, now), report, position, now)
        if before is not None and before.has_overtaken(latest):
            return self._receipt(before)
        is_news = before is None or before.known.place != report.place or report.leaves
        is_news = is_news or (before is not None and (before.part.has_left or not before.part.has_reported))
        if is_news or monotonic - latest.stored_at >= STORE_SECONDS:
            self._store_report(latest, report, now)
        with self._lock:
            self._latest[name] = latest
        if self._shared is not None:
            self._shared.note(name, report.storage, monotonic)
        if is_news:
            self._note_version(latest.known)
        self._publish(name, report)
        return self._receipt(latest)

    def _make_latest(
        self, part: NodePart, report: MachineReport, position: ReportPosition, now: datetime
    ) -> LastReport:
        before = self._latest.get(part.node)
        known = NodeRecord(
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
        latest = LastReport(part, known, position)
        if before is not None:
            latest.serial, latest.stored_at = before.serial, before.stored_at
        return latest

    def _check_accepted(self, name: str, report: MachineReport) -> None:
        place, now = report.place, self._clock.monotonic()
        if name == self._node:
            raise NodeNameTaken(
                f'The name "{name}" belongs to this head on {self._own}. Set another NODE_NAME on {place}.',
                data={"host": self._own.host, "port": self._own.port, "last_seen": self._clock.now()},
            )
        before = self._latest.get(name)
        if before is not None and not before.part.is_silent(now):
            refuse_name(before.known, place)
        if before is None and len(self._latest) >= MOST_NODES:
            raise Invalid(f"The limit of {MOST_NODES:,} nodes is reached. Forget nodes that no longer exist.")
        more = len(report.gpus) - (0 if before is None else len(before.part.snapshot.gpus))
        if more > 0 and more + self._count_others() > MOST_GPUS:
            raise Invalid(f"The limit of {MOST_GPUS:,} GPUs is reached. Forget nodes that no longer exist.")

    def _count_others(self) -> int:
        with self._lock:
            return sum(len(latest.part.snapshot.gpus) for latest in self._latest.values())

    def _store_report(self, latest: LastReport, report: MachineReport, now: datetime) -> None:
        """Store a report for other heads, and for this one after a restart."""
        name, place, monotonic = latest.part.node, report.place, latest.part.reported_at
        uuids = [gpu.uuid for gpu in latest.part.snapshot.gpus if gpu.uuid is not None]
        try:
            body = encode_stored(report, latest.position, self._gpus.find_disputed(name, uuids))
            with wait_limit(STORE_TIMEOUT_SECONDS):
                mark = self._store.note_report(latest.known, place, body, now, self._rows.find_silent(name, monotonic))
        except NodeNameTaken:
            raise
        except ServiceError as error:
            # This head uses the report even without the database.
            logger.warning("a node's report cannot be stored", extra={"node": name, "problem": str(error)})
        else:
            latest.serial, latest.stored_at = mark[0], monotonic
            self._rows.note(name, mark, monotonic)

    def _note_version(self, known: NodeRecord) -> None:
        for warning in warn(known.version, known.clock_offset):
            logger.warning("node %s: %s", known.name, warning.message)

    def _publish(self, name: str = "", report: MachineReport | None = None) -> None:
        with self._lock:
            parts = {name: latest.part for name, latest in self._latest.items()}
            drains = {name: stored.drain.message for name, stored in self._stored.items() if stored.drain is not None}
        self._gpus.update_nodes(parts, drains, () if report is None else report.xids, name)
        self._record_changes(parts)

    def _receipt(self, latest: LastReport) -> ReportReceipt:
        name, now = latest.part.node, self._clock.monotonic()
        drain = None if name not in self._stored else self._stored[name].drain
        status = judge_node(latest.part, {} if drain is None else {name: drain.message}, now).status
        return ReportReceipt(
            time=self._clock.now().timestamp(),
            version=__version__,
            state=status,
            drain=drain,
            held=list_held(self._gpus.state, name),
            warnings=tuple(warn(latest.known.version, latest.known.clock_offset)),
            storage=None if self._shared is None else self._shared.call(name),
            settings=self.settings_for_nodes(),
        )

    def _record_changes(self, parts: Mapping[str, NodePart]) -> None:
        """Add an event for each node whose status changed."""
        now, drains = (
            self._clock.monotonic(),
            {name: stored.drain for name, stored in self._stored.items() if stored.drain},
        )
        for name, part in parts.items():
            condition = judge_node(part, {each: drain.message for each, drain in drains.items()}, now)
            before = self._statuses.get(name)
            self._statuses[name] = condition.status
            if before is condition.status:
                continue
            is_bad = condition.status is NodeStatus.UNKNOWN
            reason = condition.reason or Reason.of("it is up", "is_there")
            message = Reason.of("node {node}: {what}", "node_says", node=name, what=reason)
            severity = Severity.CRITICAL if is_bad else Severity.INFO
            self._gpus.add_node_event(name, severity, message, before, condition.status)
        for name in self._statuses.keys() - parts.keys():
            del self._statuses[name]

    # -- the database --------------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        try:
            self.refresh()
        except ServiceError as error:
            # Logged once, because a database may be unavailable for days. Reports to this head still count.
            if not self._is_blind:
                logger.warning("reports to other heads cannot be read", extra={"problem": str(error)})
            self._is_blind = True
            self._publish()
        else:
            self._is_blind = False

    def refresh(self) -> None:
        """Read the nodes, their drains, and new reports to other heads. Raises DatabaseUnavailable."""
        started = self._clock.monotonic()
        with wait_limit(READ_SECONDS):
            stored = self._store.list()
            news = [name for name, (node, serial) in stored.items() if self._is_news(name, node, serial)]
            reports = self._store.reports(news) if news else {}
            self._others.refresh({name: node for name, (node, _) in stored.items()})
        monotonic = self._clock.monotonic()
        with self._lock:
            self._stored = {name: node for name, (node, _) in stored.items()}
            for name, (node, serial) in stored.items():
                self._rows.note(name, (serial, node.last_seen), monotonic)
            self._rows.keep_only(stored)
            for name in list(self._latest):
                if self._is_obsolete(name, stored[name][0] if name in stored else None):
                    self._drop(name)
            for name in self._turns.keys() - set(map(fold_name, self._latest)):
                if not self._turns[name].locked():
                    del self._turns[name]
            for name, body in reports.items():
                self._take_stored(name, body, *stored[name])
        self._looked_at = started
        self._sign()
        self._publish()

    def _sign(self) -> None:
        # A single machine stores its heartbeat once.
        now, is_first = self._clock.monotonic(), self._signed_at == float("-inf")
        is_seen = bool(self._latest) or self._others.any_present
        if is_first or (is_seen and now - self._signed_at >= _HEAD_SECONDS):
            self._store.note_head(self._node, self._own, __version__, self._count_gpus(), self._clock.now())
            self._signed_at = now

    def _drop(self, name: str) -> None:
        self._latest.pop(name, None)
        if self._shared is not None:
            self._shared.forget(name)

    def _is_obsolete(self, name: str, stored: NodeRecord | None) -> bool:
        """Return whether a node was forgotten, or is silent while its machine now runs a head."""
        latest = self._latest[name]
        if stored is None:
            return latest.serial is not None
        is_up = judge_node(latest.part, {}, self._clock.monotonic()).status is NodeStatus.UP
        return stored.role is NodeRole.ALL and not is_up

    def _take_stored(self, name: str, body: bytes, node: NodeRecord, serial: int | None) -> None:
        before, since = self._latest.get(name), self._looked_at
        # A row that changed was written after the last poll started. The age of a row at the first poll is unknown.
        if before is not None and before.part.has_reported:
            since = max(since or before.part.reported_at, before.part.reported_at)
        later = read_stored(node, body, serial, since, self._clock.monotonic())
        if later is None:
            return
        if before is not None and before.has_overtaken(later):
            before.serial = serial
            return
        self._latest[name] = later
        if self._shared is not None and later.part.has_reported:
            self._shared.note(name, later.storage, later.part.reported_at)

    def _count_gpus(self) -> int:
        """Return the number of real GPUs of this machine."""
        state = self._gpus.state
        return 0 if state.snapshot.source is SourceName.SIMULATED else len(state.own_gpus)

    def _is_news(self, name: str, node: NodeRecord, serial: int | None) -> bool:
        latest = self._latest.get(name)
        if name == self._node or node.role is not NodeRole.NODE or serial is None:
            return False
        return latest is None or latest.serial is None or serial > latest.serial

    # -- requests ------------------------------------------------------------------------------------------------------

    def show_engine(self, nodes: Callable[[], Sequence[NodeState]]) -> None:
        """Show the states that a cluster's engine has for the machines. `nodes` returns them without waiting."""
        self._engine = nodes

    def list(self) -> tuple[NodeInfo, ...]:
        """Return every node, this server's own first."""
        with self._lock:
            known = {name: latest.known for name, latest in self._latest.items()}
            stored = {**self._stored, **{name: replace(node, drain=self._drain(name)) for name, node in known.items()}}
        own = replace(stored.get(self._node, NodeRecord(self._node)), role=NodeRole.ALL, place=self._own)
        own = replace(own, version=__version__, last_seen=self._clock.now())
        storages = {} if self._shared is None else {name: self._shared.show(name) for name in known}
        shown = show_nodes(self._gpus.seen.state, {**stored, self._node: own}, self._engine(), storages)
        others = {self._node: self._others.warn()}
        return tuple(
            replace(node, warnings=(*node.warnings, *self._refusals.warn(node.name), *others.get(node.name, ())))
            for node in shown
        )

    def _drain(self, name: str) -> Drain | None:
        return None if name not in self._stored else self._stored[name].drain

    def get(self, name: str) -> NodeInfo:
        """Return a node. Raises NodeNotFound."""
        nodes = self.list()
        spelt = find_name(name, [node.name for node in nodes])
        found = next((node for node in nodes if node.name == spelt), None)
        if found is None:
            raise NodeNotFound(f'No node is called "{name[:80]}".', data={"nodes": [node.name for node in nodes]})
        return found

    def drain(self, name: str, reason: str, by: str) -> NodeInfo:
        """Start nothing new on a node. Running tasks continue. Raises NodeNotFound."""
        name = self.get(name).name
        self._store.drain(name, Drain(self._clock.now(), reason, by))
        self.refresh()
        return self.get(name)

    def undrain(self, name: str) -> NodeInfo:
        """Allow new tasks on a node again. Raises NodeNotFound."""
        name = self.get(name).name
        self._store.undrain(name)
        self.refresh()
        return self.get(name)

    def forget(self, name: str) -> NodeInfo:
        """Forget a node that no longer exists. Raises NodeNotFound, NodeIsThere while it still reports."""
        node = self.get(name)
        if node.is_this_server or node.state in (NodeStatus.UP, NodeStatus.DRAINING):
            raise NodeIsThere(f"{name} still reports. Stop its service first.")
        self._store.forget(node.name)
        with self._lock:
            self._drop(node.name)
        self.refresh()
        return node
