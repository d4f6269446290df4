"""A node's side: tells the head of its GPUs after each sweep, and keeps what the head says."""

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from api import __version__
from api.domain.node import MOST_XIDS, Drain, HeldGPUs, NodePlace
from api.domain.reading import XidEvent
from api.gpus.documents import GPUDocuments
from api.gpus.service import GPUService
from api.gpus.state import GPUState
from api.nodes.head import HeadLink, HeadRefuses, HeadSilent
from api.nodes.shared_storage import NodesOwnStorage
from api.nodes.told_holders import ToldHolders
from api.nodes.unknown_words import validate
from api.nodes.wire import encode_report, make_report
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: The most seconds between two reports: a head counts a node as silent after 15.
LONGEST_REST = 5.0

#: Seconds that the head may take to answer; then the next report is due.
PATIENCE_SECONDS = 4.0

#: Seconds that an answer may take to tell how far the clocks differ: by half of them it can be wrong.
CLOCK_SECONDS = 1.0

#: Seconds that the last report of a node may take, which says that it ends.
FAREWELL_SECONDS = 1.5

_HELDS = tuple[HeldGPUs, ...]
_HELD = TypeAdapter(_HELDS)
_DRAIN = TypeAdapter(Drain | None)


class Reporter:
    """Tells the head of this node. One thread calls `tell`."""

    def __init__(
        self,
        name: str,
        place: NodePlace,
        heads: Sequence[HeadLink],
        gpus: GPUService,
        holders: ToldHolders,
        clock: Clock,
        interval: float,
        storage: NodesOwnStorage | None = None,
    ) -> None:
        """`heads` share a database: one of them is told, the next where that does not answer.

        `interval`: seconds between two sweeps. `storage` looks at what is shared with the head.
        """
        self._name = name
        self._place = place
        self._heads = heads
        self._current = 0  #: which of them answered last
        self._gpus = gpus
        self._holders = holders
        self._clock = clock
        self._storage = storage
        self._interval = min(interval, LONGEST_REST)
        self._offset: float | None = None
        self._told_xids: dict[tuple[str, int], int] = {}
        self._problem: str | None = "the head has not answered yet"
        self._heard_at: datetime | None = None
        self._sent = 0
        self._failed = 0
        self._sweep = 0
        self._lock = threading.Lock()
        self._loop = PeriodicThread("node-reporter", self._interval, self.tell)

    def start(self) -> None:
        """Begins to tell, after each sweep and at least every 5 s."""
        self._gpus.subscribe(self._note_state)
        self._loop.start()

    def stop(self) -> None:
        """Tells the head that this node ends."""
        self._loop.stop(timeout=PATIENCE_SECONDS + 0.5)
        self.tell(leaves=True)
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
        """Why the head does not know of this node now; None: it does."""
        return self._problem

    @property
    def counts(self) -> tuple[int, int]:
        """How many reports were taken, and how many were not."""
        return self._sent, self._failed

    def tell(self, leaves: bool = False) -> None:
        """Sends one report, and takes what the head says to it. Never raises for heads that are away."""
        with self._lock:
            problems: dict[str, str] = {}
            for _ in self._heads:
                head = self._heads[self._current]
                try:
                    self._tell(head, leaves)
                    return
                except HeadSilent as error:
                    problems[head.address] = _describe(error)
                except HeadRefuses as error:
                    problems[head.address] = _describe(error)
                    if error.status < 500:
                        # The others would say the same.
                        break
                self._current = (self._current + 1) % len(self._heads)
            self._failed += 1
            several = "; ".join(f"{address}: {problem}" for address, problem in problems.items())
            self._note_problem(several if len(self._heads) > 1 else next(iter(problems.values())))

    def _tell(self, head: HeadLink, leaves: bool) -> None:
        """Tells one head. Each gets a report of its own: one that is sent twice would be refused."""
        state, began, at = self._gpus.state, self._clock.monotonic(), self._clock.now()
        xids, counts = self._new_xids(state)
        report = make_report(
            state.snapshot,
            self._place,
            __version__,
            self._interval,
            began,
            at,
            self._offset,
            xids,
            leaves,
            None if self._storage is None else self._storage.tell(),
            self._clock.mark(),
        )
        body = b'{"report":%b}' % encode_report(report)
        receipt = head.tell(self._name, body, FAREWELL_SECONDS if leaves else PATIENCE_SECONDS)
        self._sent += 1
        self._told_xids.update(counts)
        self._take(receipt, at.timestamp(), self._clock.monotonic() - began)

    def _new_xids(self, state: GPUState) -> tuple[list[XidEvent], dict[tuple[str, int], int]]:
        """The Xid errors that the head does not know of, and how many it knows of then. Those of a GPU that this report
        does not list wait: a report speaks of no other GPU.
        """
        events: list[XidEvent] = []
        counts: dict[tuple[str, int], int] = {}
        listed = {gpu.uuid for gpu in state.snapshot.gpus}
        for (uuid, xid), count in state.xids.items():
            if uuid not in listed:
                continue
            told = self._told_xids.get((uuid, xid), 0)
            some = min(count.count - told, MOST_XIDS - len(events))
            if some > 0:
                events.extend([XidEvent(uuid, xid)] * some)
                counts[uuid, xid] = told + some
        return events, counts

    def _take(self, receipt: Mapping[str, Any], sent_at: float, seconds: float) -> None:
        try:
            offset = round(sent_at + seconds / 2 - float(receipt["time"]), 3)
            held, drain = validate(_HELD, _HELDS, receipt["held"]), _DRAIN.validate_python(receipt["drain"])
            warnings = [str(warning["message"]) for warning in receipt["warnings"]]
        except (KeyError, TypeError, ValueError, ValidationError):
            self._note_problem("the head's answer cannot be read: is it a server of this service?")
            return
        # Who is asked slowly may have been asked at any time meanwhile.
        if seconds <= CLOCK_SECONDS:
            self._offset = offset
        self._holders.take(held)
        if self._storage is not None:
            self._storage.take(receipt.get("storage"))
        drains = {}
        if drain is not None:
            drains[self._name] = drain.words
        self._gpus.note_nodes({}, drains)
        if self._problem is not None:
            self._problem = None
            logger.info("the head knows of this node", extra={"node": self._name})
            for message in warnings:
                logger.warning("the head says: %s", message)

    def _note_problem(self, problem: str) -> None:
        # Said once: a head may be away for hours.
        if problem != self._problem:
            logger.warning("the head does not know of this node: %s", problem, extra={"node": self._name})
        self._problem = problem


def _describe(error: HeadSilent | HeadRefuses) -> str:
    if isinstance(error, HeadSilent):
        return f"it does not answer ({error})"
    if error.status in (401, 403):
        return f"it refuses this node's key ({error.detail}): make one with the permission nodes:report"
    return f"it refuses the report ({error.code}): {error.detail}"
