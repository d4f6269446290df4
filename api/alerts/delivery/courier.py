"""Make one attempt to send a delivery: claim it by a lease, send it, and store the outcome.

Threads of this service and Celery workers use the same code.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from api.alerts.delivery.messages import compose
from api.alerts.delivery.notifiers.notifier import Delivered, Notifier, OutboundMessage, Rejected, SendOutcome
from api.alerts.records.outbox_store import LEASE_SECONDS, AttemptResult, OutboxStore
from api.db.sealing import Sealer, SecretUnreadable
from api.domain.alerts.channel import Channel, ChannelKind, ClaimedDelivery, DeliveryKind, DeliveryState
from api.errors import DatabaseUnavailable
from api.util.clock import Clock
from api.util.measures import delivery_lags, spanning

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=LEASE_SECONDS)

#: Seconds before each retry; further retries follow every hour.
WAITS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)

#: Random share of each wait, so that deliveries that failed together are not retried together.
JITTER = 0.2

#: Age after which a delivery expires.
MOST_AGE = timedelta(hours=24)

#: Longest wait, in seconds, that a receiver may request.
MOST_WAIT = 3600.0

#: Refusals in a row that disable a channel. The statuses in `_GONE`, deleted or moved, disable it immediately.
MOST_REFUSALS = 3
_GONE = (410, *range(300, 400))

#: A test message is sent once, because a user waits for its result.
_TEST_ATTEMPTS = 1

#: Seconds for which storing a sent delivery is retried; otherwise it would be sent twice.
_STORE_RETRY_SECONDS = 60.0


class Courier:
    """Sends deliveries. Thread-safe, and safe across processes."""

    def __init__(
        self,
        store: OutboxStore,
        sealer: Sealer,
        notifiers: Mapping[ChannelKind, Notifier],
        clock: Clock,
        pause: Callable[[float], None] = time.sleep,
        public_url: str = "",
    ) -> None:
        """Create the courier. `public_url` is the address of the page, for links in messages; empty: no links."""
        self.public_url = public_url
        self._store = store
        self._sealer = sealer
        self._notifiers = notifiers
        self._clock = clock
        self._pause = pause

    def deliver(self, delivery_id: str) -> DeliveryState | None:
        """Make one attempt. Return None if the delivery is not due or another process holds it.

        Raises DatabaseUnavailable before anything was sent.
        """
        claimed = self._store.claim(delivery_id, self._clock.now(), LEASE)
        if claimed is None:
            return None
        attributes = {
            "diffusion_pipe.delivery_id": delivery_id,
            "diffusion_pipe.channel_kind": claimed.channel.kind.value,
        }
        with spanning("deliver alert", attributes):
            return self._deliver(delivery_id, claimed)

    def _deliver(self, delivery_id: str, claimed: ClaimedDelivery) -> DeliveryState:
        outcome = self._send(claimed)
        ended = self.judge(claimed, outcome)
        if ended.state is not DeliveryState.DELIVERED:
            extra = {"delivery": delivery_id, "channel": claimed.channel.name, "result": ended.result}
            logger.warning("a notification could not be delivered", extra={**extra, "state": ended.state})
        else:
            lag = self._clock.now() - claimed.delivery.created_at
            delivery_lags.observe(max(0.0, lag.total_seconds()), (claimed.channel.kind,))
        self._store_result(claimed, ended)
        return ended.state

    def send_now(self, channel: Channel, sealed: bytes, message: OutboundMessage) -> SendOutcome:
        """Send a message directly, without the outbox, while the database is unavailable."""
        try:
            secret = self._sealer.open(sealed)
        except (SecretUnreadable, OSError) as error:
            return Rejected(str(error))
        return self._notifiers[channel.kind].send(message, secret, channel.settings)

    def end_overdue(self) -> None:
        """End attempts that exceed their time limit."""
        for notifier in self._notifiers.values():
            notifier.end_overdue()

    def _send(self, claimed: ClaimedDelivery) -> SendOutcome:
        if not claimed.channel.enabled:
            return Rejected("the channel is disabled")
        return self.send_now(claimed.channel, claimed.sealed, compose(claimed, self._clock.now(), self.public_url))

    def judge(self, claimed: ClaimedDelivery, outcome: SendOutcome) -> AttemptResult:
        """Return the result of an attempt with this outcome."""
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
        # By the steady clock, and only after all retries: setting the wall clock forward expires nothing.
        age: timedelta = self._clock.steady.now() - delivery.created_at
        if delivery.attempts > len(WAITS) and age + timedelta(seconds=wait) > MOST_AGE:
            return AttemptResult(DeliveryState.EXPIRED, outcome.status, outcome.reason)
        return AttemptResult(DeliveryState.WAITING, outcome.status, outcome.reason, again_at)

    def _store_result(self, claimed: ClaimedDelivery, ended: AttemptResult) -> None:
        most = 1 if ended.status in _GONE else MOST_REFUSALS
        tried_until = self._clock.monotonic() + _STORE_RETRY_SECONDS
        while True:
            try:
                self._store.finish(claimed, ended, self._clock.now(), most)
            except DatabaseUnavailable:
                if self._clock.monotonic() >= tried_until:
                    # The lease expires, and the delivery is sent again under the same id.
                    raise
                self._pause(1.0)
            else:
                return
