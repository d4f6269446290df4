"""Has deliveries made by workers elsewhere: a message says only which row to look at, and the row is the truth.

So a message that is lost costs seconds, and one that comes twice finds nothing to claim. While the transport is down,
or nobody takes what was handed over, this process sends by its own threads.
"""

import logging
import queue
from collections.abc import Callable
from typing import Protocol

from api.alerts.outbox import Carriers
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds after which a row that nobody has claimed is told of again.
AGAIN_SECONDS = 15.0

#: Seconds after which it is sent here: no worker seems to be there.
ALONE_SECONDS = 60.0

#: While it is sent here, a worker is looked for so often, by a row that it has AGAIN_SECONDS to take. One that was not
#: seen among what is due for so many seconds was taken.
PROBE_SECONDS, TAKEN_SECONDS = 120.0, 10.0

#: Seconds for which a transport that failed is not tried.
DOWN_SECONDS = 5.0

#: Rows that are remembered.
_MOST = 10_000


class TransportDown(Exception):
    """The message could not be handed over; it may have been all the same."""


class DeliveryTransport(Protocol):
    """Hands the id of a delivery to a worker elsewhere."""

    def publish(self, delivery_id: str) -> None:
        """Raises TransportDown, within some seconds."""
        ...


class FakeTransport:
    """Keeps what it was given; fails while `is_down`."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.is_down = False

    def publish(self, delivery_id: str) -> None:
        if self.is_down:
            raise TransportDown
        self.published.append(delivery_id)


class RemoteCarriers:
    """Carriers by a transport, with others that stand in for it."""

    def __init__(
        self, transport: DeliveryTransport, local: Carriers, clock: Clock, on_down: Callable[[], None]
    ) -> None:
        """`on_down` is called when the transport has failed: the outbox is to be looked at again."""
        self._transport = transport
        self._local = local
        self._clock = clock
        self.on_down = on_down
        self._handed: dict[str, tuple[float, float]] = {}  # when a row was first and last handed over
        self._down_until = float("-inf")
        self._is_down = False
        self._is_alone = False
        self._probed_at = float("-inf")
        self._probe: tuple[str, float, float] | None = None  # a row, and when it was handed over and last seen
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        # Of its own: a broker that hangs holds up nothing else.
        self._thread = PeriodicThread("alert-publish", None, self.publish_all)

    def start(self) -> None:
        """Starts to hand over."""
        self._thread.start()

    def stop(self) -> None:
        """Stops; a call that hangs is left behind."""
        self._thread.stop(timeout=0.5)

    def busy(self) -> frozenset[str]:
        """The channels that something is being sent through here."""
        return self._local.busy()

    def carry(self, delivery_id: str, channel_id: str) -> bool:
        """Tells the workers of a delivery; False when it is to be sent here and nobody is free."""
        now = self._clock.monotonic()
        first, last = self._handed.get(delivery_id, (now, float("-inf")))
        if now < self._down_until:
            return self._local.carry(delivery_id, channel_id)
        if self._is_alone or now - first >= ALONE_SECONDS:
            self._note_alone(now)
            return self._is_probing(delivery_id, now) or self._local.carry(delivery_id, channel_id)
        if now - last >= AGAIN_SECONDS:
            self._handed[delivery_id] = (first, now)
            self._waiting.put(delivery_id)
            self._thread.trigger()
        return True

    def _note_alone(self, now: float) -> None:
        """What comes is sent here at once from now on: else each row of a channel would wait for a worker in turn."""
        if not self._is_alone:
            logger.warning("no worker takes alerts: this server sends them itself")
            self._is_alone, self._probed_at = True, now

    def _is_probing(self, delivery_id: str, now: float) -> bool:
        """Whether this row is left to a worker, to see if there is one again."""
        if self._probe is None and now - self._probed_at >= PROBE_SECONDS:
            self._probe, self._probed_at = (delivery_id, now, now), now
            self._waiting.put(delivery_id)
            self._thread.trigger()
            return True
        if self._probe is None or self._probe[0] != delivery_id:
            return False
        began = self._probe[1]
        self._probe = (delivery_id, began, now) if now - began < AGAIN_SECONDS else None
        return self._probe is not None

    def look(self) -> None:
        """Forgets rows that were handed over long ago, and notes that a worker has taken one."""
        self._local.look()
        if self._probe is not None and self._clock.monotonic() - self._probe[2] > TAKEN_SECONDS:
            logger.info("workers take alerts again")
            self._is_alone, self._probe = False, None
        if len(self._handed) > _MOST:
            newest = sorted(self._handed.items(), key=lambda each: each[1][1])[-_MOST // 2 :]
            self._handed = dict(newest)

    def publish_all(self) -> None:
        """Hands over what waits; the body of the thread."""
        while True:
            try:
                delivery_id = self._waiting.get_nowait()
            except queue.Empty:
                return
            if self._clock.monotonic() < self._down_until:
                # The outbox has it looked at again, and sends it here.
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
            logger.warning("alerts cannot be handed to workers: this server sends them itself")
        self._is_down = True
        self.on_down()

    def _note_up(self) -> None:
        if self._is_down:
            logger.info("alerts are handed to workers again")
        self._is_down = False
