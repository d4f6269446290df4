"""Notifies of an unreachable database directly, since the outbox is in that database.

It uses the channels that were last read.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from api.alerts.courier import Courier
from api.alerts.evaluation import FactTable, fill, is_breaching
from api.alerts.messages import write
from api.alerts.notifiers.notifier import Delivered
from api.alerts.state_machine import rank
from api.domain.alert import IS_OVER, AlertState, NotificationKind
from api.domain.alert_rule import AlertRule, RuleScope
from api.domain.channel import AlertSnapshot, Channel
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: The rule whose alerts are sent directly.
RULE_ID = "database_away"

#: Channels with their encrypted addresses, as last read.
KnownChannels = Sequence[tuple[Channel, bytes]]


class EmergencyNotifier:
    """Sends one message when the database becomes unreachable, and one when it is back. Sends in its own thread."""

    def __init__(self, courier: Courier, clock: Clock, new_id: Callable[[datetime], str]) -> None:
        self._courier = courier
        self._clock = clock
        self._new_id = new_id
        self._sent: AlertSnapshot | None = None
        self._resolution = IS_OVER
        self._pending: list[tuple[KnownChannels, AlertSnapshot]] = []
        self._thread = PeriodicThread("alert-emergency", None, self.send_pending)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._thread.stop(timeout=0.5)

    def check(self, rule: AlertRule | None, table: FactTable | None, channels: KnownChannels) -> None:
        """Send a message if the state has changed since the last call."""
        if rule is None or table is None or table.scope is not RuleScope.SERVICE or not rule.enabled:
            return
        is_away = is_breaching(rule, table, 0)
        now = self._clock.now()
        if is_away and self._sent is None:
            self._sent = self._describe(rule, table, now)
            self._resolution = fill(rule.resolved, table, 0) or IS_OVER
            self._enqueue(channels, self._sent)
        elif is_away is False and self._sent is not None:
            snapshot, self._sent = self._sent, None
            ended = replace(
                snapshot,
                kind=NotificationKind.RESOLVED,
                state=AlertState.RESOLVED,
                resolved_at=now,
                number=2,
                resolution=self._resolution,
            )
            self._enqueue(channels, ended)

    def _enqueue(self, channels: KnownChannels, snapshot: AlertSnapshot) -> None:
        self._pending.append((channels, snapshot))
        self._thread.trigger()

    def send_pending(self) -> None:
        """Send the pending messages; the body of the thread."""
        while self._pending:
            channels, snapshot = self._pending.pop(0)
            for channel, sealed in channels:
                settings = channel.settings
                is_selected = channel.enabled and not settings.only_opted_in
                if is_selected and rank(snapshot.severity) >= rank(settings.min_severity):
                    self._send(channel, sealed, snapshot)

    def _send(self, channel: Channel, sealed: bytes, snapshot: AlertSnapshot) -> None:
        message_id = f"{snapshot.alert_id}.{snapshot.number}.{channel.channel_id}"
        message = write(message_id, channel, (snapshot,), 1, self._clock.now(), self._courier.public_url)
        outcome = self._courier.send_now(channel, sealed, message)
        if not isinstance(outcome, Delivered):
            extra = {"channel": channel.name, "result": outcome.reason}
            logger.warning("the notification of the unreachable database could not be sent", extra=extra)

    def _describe(self, rule: AlertRule, table: FactTable, now: datetime) -> AlertSnapshot:
        target = table.targets[0]
        return AlertSnapshot(
            alert_id=self._new_id(now),
            number=1,
            kind=NotificationKind.FIRING,
            state=AlertState.FIRING,
            severity=rule.severity,
            rule_id=rule.rule_id,
            fingerprint=f"{rule.rule_id}@{target.key}"[:16],
            title=f"{rule.title}: {target.summary_values.get('name', target.key)}",
            summary=fill(rule.summary, table, 0),
            remedy=fill(rule.remedy, table, 0),
            link=rule.link,
            labels=dict(target.labels),
            since=now,
            fired_at=now,
            resolved_at=None,
        )
