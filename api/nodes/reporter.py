"""The node's side: sends a report to the head after each sweep, and stores the receipt."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from api import __version__
from api.domain.machines.node import MOST_XIDS, Drain, HeldGPUs, NodeLocation
from api.domain.machines.reading import XidEvent
from api.gpus.documents import GPUDocuments
from api.gpus.service import GPUService
from api.gpus.state import GPUState
from api.nodes.head import HeadLink, HeadRejected, HeadUnreachable
from api.nodes.reported_holders import ReportedHolders
from api.nodes.shared_storage import NodesOwnStorage
from api.nodes.unknown_values import validate
from api.nodes.wire import encode_report, make_report
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: The longest time between two reports in seconds. A head considers a node silent after 15 s.
LONGEST_REST = 5.0

#: The time limit for the head's answer, in seconds. Then the next report is due.
PATIENCE_SECONDS = 4.0

#: The slowest answer that is used to compare the clocks, in seconds. The result is off by up to half of it.
CLOCK_SECONDS = 1.0

#: The time limit for the last report, which announces the end of the node, in seconds.
FAREWELL_SECONDS = 1.5

_HELDS = tuple[HeldGPUs, ...]
_HELD = TypeAdapter(_HELDS)
_DRAIN = TypeAdapter(Drain | None)


class Reporter:
    """Reports this node to its head. One thread calls `send_report`."""

    def __init__(
        self,
        place: NodeLocation,
        heads: Sequence[HeadLink],
        gpus: GPUService,
        holders: ReportedHolders,
        clock: Clock,
        storage: NodesOwnStorage | None = None,
        use_settings: Callable[[Mapping[str, Any]], None] = lambda settings: None,
    ) -> None:
        """`heads` share a database. One gets the reports; if it does not answer, the next one.

        `storage` checks the storage shared with the head.
        `use_settings` gets the head's settings for nodes with each receipt.
        """
        self._name = gpus.state.node
        self._place = place
        self._heads = heads
        self._current = 0  #: the index of the head that answered last
        self._gpus = gpus
        self._holders = holders
        self._clock = clock
        self._storage = storage
        self._use_settings = use_settings
        self._interval = min(gpus.interval, LONGEST_REST)
        self._offset: float | None = None
        self._reported_xids: dict[tuple[str, int], int] = {}
        self._problem: str | None = "the head has not answered yet"
        self._sent = 0
        self._failed = 0
        self._sweep = 0
        self._lock = threading.Lock()
        self._loop = PeriodicThread("node-reporter", self._interval, self.send_report)

    def start(self) -> None:
        """Start to report, after each sweep and at least every 5 s."""
        self._gpus.subscribe(self._note_state)
        self._loop.start()

    def stop(self) -> None:
        """Stop, and report the end of this node to the head."""
        self._loop.stop(timeout=PATIENCE_SECONDS + 0.5)
        self.send_report(leaves=True)
        for head in self._heads:
            head.close()
        if self._storage is not None:
            self._storage.stop()

    def _note_state(self, number: int, documents: GPUDocuments) -> None:
        sweep = documents.state.snapshot.sequence
        if sweep != self._sweep:
            self._sweep = sweep
            self._loop.trigger()

    @property
    def problem(self) -> str | None:
        """Why the last report failed; None if it succeeded."""
        return self._problem

    @property
    def counts(self) -> tuple[int, int]:
        """The numbers of successful and failed reports."""
        return self._sent, self._failed

    def send_report(self, leaves: bool = False) -> None:
        """Send one report and take the receipt. Never raises for unreachable heads."""
        with self._lock:
            problems: dict[str, str] = {}
            for _ in self._heads:
                head = self._heads[self._current]
                try:
                    self._send_to(head, leaves)
                    return
                except HeadUnreachable as error:
                    problems[head.address] = _describe(error)
                except HeadRejected as error:
                    problems[head.address] = _describe(error)
                    if error.status < 500:
                        # The other heads would give the same answer.
                        break
                self._current = (self._current + 1) % len(self._heads)
            self._failed += 1
            several = "; ".join(f"{address}: {problem}" for address, problem in problems.items())
            self._note_problem(several if len(self._heads) > 1 else next(iter(problems.values())))

    def _send_to(self, head: HeadLink, leaves: bool) -> None:
        """Send a report to one head. Each head gets a new report, because a repeated one is rejected."""
        state, started, at = self._gpus.state, self._clock.monotonic(), self._clock.now()
        xids, counts = self._new_xids(state)
        report = make_report(
            state.snapshot,
            self._place,
            __version__,
            self._interval,
            started,
            at,
            self._offset,
            xids,
            leaves,
            None if self._storage is None else self._storage.make_report(),
            self._clock.mark(),
        )
        body = b'{"report":%b}' % encode_report(report)
        receipt = head.send_report(self._name, body, FAREWELL_SECONDS if leaves else PATIENCE_SECONDS)
        self._sent += 1
        self._reported_xids.update(counts)
        self._take(receipt, at.timestamp(), self._clock.monotonic() - started)

    def _new_xids(self, state: GPUState) -> tuple[list[XidEvent], dict[tuple[str, int], int]]:
        """Return the unreported Xid errors of the report's GPUs, and the counts that will be reported then."""
        events: list[XidEvent] = []
        counts: dict[tuple[str, int], int] = {}
        listed = {gpu.uuid for gpu in state.snapshot.gpus}
        for (uuid, xid), count in state.xids.items():
            if uuid not in listed:
                continue
            reported = self._reported_xids.get((uuid, xid), 0)
            some = min(count.count - reported, MOST_XIDS - len(events))
            if some > 0:
                events.extend([XidEvent(uuid, xid)] * some)
                counts[uuid, xid] = reported + some
        return events, counts

    def _take(self, receipt: Mapping[str, Any], sent_at: float, seconds: float) -> None:
        try:
            offset = round(sent_at + seconds / 2 - float(receipt["time"]), 3)
            held, drain = validate(_HELD, _HELDS, receipt["held"]), _DRAIN.validate_python(receipt["drain"])
            warnings = [str(warning["message"]) for warning in receipt["warnings"]]
        except (KeyError, TypeError, ValueError, ValidationError):
            self._note_problem("the head's answer cannot be read: check that its address is that of a head")
            return
        # In a slow answer, the head's time may be from any moment of the wait.
        if seconds <= CLOCK_SECONDS:
            self._offset = offset
        self._holders.take(held)
        # Earlier heads send none.
        settings = receipt.get("settings")
        self._use_settings(settings if isinstance(settings, dict) else {})
        if self._storage is not None:
            self._storage.take(receipt.get("storage"))
        drains = {}
        if drain is not None:
            drains[self._name] = drain.message
        self._gpus.update_nodes({}, drains)
        if self._problem is not None:
            self._problem = None
            logger.info("the head accepted this node's report", extra={"node": self._name})
            for message in warnings:
                logger.warning("warning from the head: %s", message)

    def _note_problem(self, problem: str) -> None:
        # Logged once, because a head may be unreachable for hours.
        if problem != self._problem:
            logger.warning("the report to the head failed: %s", problem, extra={"node": self._name})
        self._problem = problem


def _describe(error: HeadUnreachable | HeadRejected) -> str:
    if isinstance(error, HeadUnreachable):
        return f"it does not answer ({error})"
    if error.status in (401, 403):
        return f"it rejects this node's key ({error.detail}): create one with the permission nodes:report"
    return f"it rejects the report ({error.code}): {error.detail}"
