"""Send deliveries by workers elsewhere.

A message contains only the id of a row, and the row has the state. So a lost message costs some seconds, and a
duplicate finds nothing to claim. While the transport is down or no worker takes deliveries, this process sends by its
own threads.
"""

import logging
import queue
from collections.abc import Callable
from typing import Protocol

from api.alerts.delivery.outbox import Senders
from api.util.clock import Clock
from api.util.periodic import LoopOwner, PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds after which an unclaimed row is published again.
REPUBLISH_SECONDS = 15.0

#: Seconds after which an unclaimed row is sent here, since no worker seems to run.
ALONE_SECONDS = 60.0

#: In the fallback, seconds between two probes for workers. A probe is a row that a worker has REPUBLISH_SECONDS to
#: claim. If it was not due for TAKEN_SECONDS, a worker has taken it.
PROBE_SECONDS, TAKEN_SECONDS = 120.0, 10.0

#: Seconds for which a failed transport is not used.
DOWN_SECONDS = 5.0

#: Maximum number of remembered rows.
_MOST = 10_000


class TransportDown(Exception):
    """The message could not be published, or its arrival is unknown."""


class DeliveryTransport(Protocol):
    """Passes the id of a delivery to a worker elsewhere."""

    def publish(self, delivery_id: str) -> None:
        """Publish an id. Raises TransportDown within some seconds."""
        ...


class FakeTransport:
    """Records published ids; fails while `is_down`."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.is_down = False

    def publish(self, delivery_id: str) -> None:
        if self.is_down:
            raise TransportDown
        self.published.append(delivery_id)


class WorkerSenders(LoopOwner):
    """Sends by a transport, with local senders as fallback."""

    _stop_seconds = 0.5

    def __init__(self, transport: DeliveryTransport, local: Senders, clock: Clock, on_down: Callable[[], None]) -> None:
        """Create the senders. `on_down` is called when the transport fails, so that the outbox is read again."""
        self._transport = transport
        self._local = local
        self._clock = clock
        self.on_down = on_down
        self._published: dict[str, tuple[float, float]] = {}  # times when a row was first and last published
        self._down_until = float("-inf")
        self._is_down = False
        self._is_fallback = False
        self._probed_at = float("-inf")
        self._probe: tuple[str, float, float] | None = None  # a row, and when it was published and last seen
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        # Its own thread, so that a hanging broker blocks nothing else.
        self._thread = PeriodicThread("alert-publish", None, self.publish_all)

    def busy(self) -> frozenset[str]:
        """Return the channels through which this process is sending now."""
        return self._local.busy()

    def carry(self, delivery_id: str, channel_id: str) -> bool:
        """Publish a delivery to the workers. Return False if it must be sent here and all senders are busy."""
        now = self._clock.monotonic()
        first, last = self._published.get(delivery_id, (now, float("-inf")))
        if now < self._down_until:
            return self._local.carry(delivery_id, channel_id)
        if self._is_fallback or now - first >= ALONE_SECONDS:
            self._start_fallback(now)
            return self._is_probing(delivery_id, now) or self._local.carry(delivery_id, channel_id)
        if now - last >= REPUBLISH_SECONDS:
            self._published[delivery_id] = (first, now)
            self._waiting.put(delivery_id)
            self._thread.trigger()
        return True

    def _start_fallback(self, now: float) -> None:
        """Switch to the fallback, in which new deliveries are sent here immediately.

        Otherwise each row of a channel would wait for a worker in turn.
        """
        if not self._is_fallback:
            logger.warning("no worker takes deliveries: this server sends them itself")
            self._is_fallback, self._probed_at = True, now

    def _is_probing(self, delivery_id: str, now: float) -> bool:
        """Return whether this row is left to a worker, as a probe."""
        if self._probe is None and now - self._probed_at >= PROBE_SECONDS:
            self._probe, self._probed_at = (delivery_id, now, now), now
            self._waiting.put(delivery_id)
            self._thread.trigger()
            return True
        if self._probe is None or self._probe[0] != delivery_id:
            return False
        probed_at = self._probe[1]
        self._probe = (delivery_id, probed_at, now) if now - probed_at < REPUBLISH_SECONDS else None
        return self._probe is not None

    def check(self) -> None:
        """Forget old rows, and end the fallback if a worker has taken the probe."""
        self._local.check()
        if self._probe is not None and self._clock.monotonic() - self._probe[2] > TAKEN_SECONDS:
            logger.info("workers take deliveries again")
            self._is_fallback, self._probe = False, None
        if len(self._published) > _MOST:
            newest = sorted(self._published.items(), key=lambda each: each[1][1])[-_MOST // 2 :]
            self._published = dict(newest)

    def publish_all(self) -> None:
        """Publish the queued ids; the body of the thread."""
        while True:
            try:
                delivery_id = self._waiting.get_nowait()
            except queue.Empty:
                return
            if self._clock.monotonic() < self._down_until:
                # The outbox submits it again, and then it is sent here.
                continue
            try:
                self._transport.publish(delivery_id)
            except TransportDown:
                self._note_down()
            else:
                self._note_up()

    def _note_down(self) -> None:
        self._down_until = self._clock.monotonic() + DOWN_SECONDS
        if not self._is_down:
            logger.warning("deliveries cannot be passed to workers: this server sends them itself")
        self._is_down = True
        self.on_down()

    def _note_up(self) -> None:
        if self._is_down:
            logger.info("deliveries are passed to workers again")
        self._is_down = False
