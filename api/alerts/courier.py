"""Delivers one message: claims it by a lease, sends it, keeps how that ended. A thread of this service calls it, or a
Celery worker: it is the same for both.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from api.alerts.messages import compose
from api.alerts.notifiers.notifier import Delivered, Notifier, OutboundMessage, Rejected, SendOutcome
from api.alerts.outbox_store import LEASE_SECONDS, AttemptResult, OutboxStore
from api.db.sealing import Sealer, SecretUnreadable
from api.domain.channel import Channel, ChannelKind, ClaimedDelivery, DeliveryKind, DeliveryState
from api.errors import DatabaseUnavailable
from api.util.clock import Clock
from api.util.measures import delivery_lags
from api.util.tracing import spanning

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=LEASE_SECONDS)

#: Seconds before each further attempt; then one an hour.
WAITS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)

#: How far each wait is off, so that what failed together does not come back together.
JITTER = 0.2

#: Nothing is tried for longer: then it is no news any more.
MOST_AGE = timedelta(hours=24)

#: The longest wait that a receiver may ask for.
MOST_WAIT = 3600.0

#: So many refusals in a row put a channel aside; one that says that it is gone for good, or elsewhere, does so at once.
MOST_REFUSALS = 3
_GONE = (410, *range(300, 400))

#: An attempt to try a channel is made once: somebody waits for its result.
_TEST_ATTEMPTS = 1

#: For so long it is tried to keep that something was sent, since a second attempt would be a double.
_INSIST_SECONDS = 60.0


class Courier:
    """Sends deliveries. Several threads and processes may call it at once."""

    def __init__(
        self,
        store: OutboxStore,
        sealer: Sealer,
        notifiers: Mapping[ChannelKind, Notifier],
        clock: Clock,
        pause: Callable[[float], None] = time.sleep,
        public_url: str = "",
    ) -> None:
        """`public_url` is the address of the page, for the links in messages; empty: they have none."""
        self.public_url = public_url
        self._store = store
        self._sealer = sealer
        self._notifiers = notifiers
        self._clock = clock
        self._pause = pause

    def deliver(self, delivery_id: str) -> DeliveryState | None:
        """Makes one attempt; None when it is not due, or somebody else has it. Raises DatabaseUnavailable before
        anything was sent.
        """
        claimed = self._store.claim(delivery_id, self._clock.now(), LEASE)
        if claimed is None:
            return None
        told = {"diffusion_pipe.delivery_id": delivery_id, "diffusion_pipe.channel_kind": claimed.channel.kind.value}
        with spanning("deliver alert", told):
            return self._deliver(delivery_id, claimed)

    def _deliver(self, delivery_id: str, claimed: ClaimedDelivery) -> DeliveryState:
        outcome = self._send(claimed)
        ended = self.judge(claimed, outcome)
        if ended.state is not DeliveryState.DELIVERED:
            extra = {"delivery": delivery_id, "channel": claimed.channel.name, "result": ended.result}
            logger.warning("an alert could not be delivered", extra={**extra, "state": ended.state})
        else:
            lag = self._clock.now() - claimed.delivery.created_at
            delivery_lags.observe(max(0.0, lag.total_seconds()), (claimed.channel.kind,))
        self._keep(claimed, ended)
        return ended.state

    def send_now(self, channel: Channel, sealed: bytes, message: OutboundMessage) -> SendOutcome:
        """Sends a message past the outbox, for when there is no database to keep it in."""
        try:
            secret = self._sealer.open(sealed)
        except (SecretUnreadable, OSError) as error:
            return Rejected(str(error))
        return self._notifiers[channel.kind].send(message, secret, channel.settings)

    def end_overdue(self) -> None:
        """Ends attempts whose time is over."""
        for notifier in self._notifiers.values():
            notifier.end_overdue()

    def _send(self, claimed: ClaimedDelivery) -> SendOutcome:
        if not claimed.channel.enabled:
            return Rejected("its channel is switched off")
        return self.send_now(claimed.channel, claimed.sealed, compose(claimed, self._clock.now(), self.public_url))

    def judge(self, claimed: ClaimedDelivery, outcome: SendOutcome) -> AttemptResult:
        """What an outcome means for a delivery."""
        if isinstance(outcome, Delivered):
            return AttemptResult(DeliveryState.DELIVERED, outcome.status, "delivered")
        if isinstance(outcome, Rejected):
            return AttemptResult(DeliveryState.REJECTED, outcome.status, outcome.reason, is_refusal=outcome.is_refusal)
        delivery = claimed.delivery
        wait = WAITS[min(delivery.attempts, len(WAITS)) - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
        if outcome.after_seconds is not None:
            wait = min(max(outcome.after_seconds, 1.0), MOST_WAIT)
        again_at = self._clock.now() + timedelta(seconds=wait)
        if delivery.kind is DeliveryKind.TEST and delivery.attempts >= _TEST_ATTEMPTS:
            return AttemptResult(DeliveryState.REJECTED, outcome.status, outcome.reason)
        # By steady time, and not before the waits were made: a clock that was set forward ages nothing.
        age: timedelta = self._clock.steady.now() - delivery.created_at
        if delivery.attempts > len(WAITS) and age + timedelta(seconds=wait) > MOST_AGE:
            return AttemptResult(DeliveryState.EXPIRED, outcome.status, outcome.reason)
        return AttemptResult(DeliveryState.WAITING, outcome.status, outcome.reason, again_at)

    def _keep(self, claimed: ClaimedDelivery, ended: AttemptResult) -> None:
        most = 1 if ended.status in _GONE else MOST_REFUSALS
        tried_until = self._clock.monotonic() + _INSIST_SECONDS
        while True:
            try:
                self._store.finish(claimed, ended, self._clock.now(), most)
            except DatabaseUnavailable:
                if self._clock.monotonic() >= tried_until:
                    # Its lease ends: it is sent again, under the same id.
                    raise
                self._pause(1.0)
            else:
                return
