"""Tells that the database is away, which no outbox in that database can: by the channels that memory still knows."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from api.alerts.courier import Courier
from api.alerts.evaluation import FactTable, fill, is_breaching
from api.alerts.machine import rank
from api.alerts.messages import write
from api.alerts.notifiers.notifier import Delivered
from api.domain.alert import IS_OVER, AlertState, NotificationKind
from api.domain.alert_rule import AlertRule, RuleScope
from api.domain.channel import Channel, ToldAlert
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: The rule that is told this way.
RULE_ID = "database_away"

#: Channels with their encrypted addresses, as they were last read.
KnownChannels = Sequence[tuple[Channel, bytes]]


class EmergencyWord:
    """Tells once that the database is away, and once that it is back; each in a thread of its own."""

    def __init__(self, courier: Courier, clock: Clock, new_id: Callable[[datetime], str]) -> None:
        self._courier = courier
        self._clock = clock
        self._new_id = new_id
        self._told: ToldAlert | None = None
        self._resolution = IS_OVER
        self._pending: list[tuple[KnownChannels, ToldAlert]] = []
        self._thread = PeriodicThread("alert-emergency", None, self.send_pending)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stops it."""
        self._thread.stop(timeout=0.5)

    def look(self, rule: AlertRule | None, table: FactTable | None, channels: KnownChannels) -> None:
        """Tells what has changed since the last look."""
        if rule is None or table is None or table.scope is not RuleScope.SERVICE or not rule.enabled:
            return
        is_away = is_breaching(rule, table, 0)
        now = self._clock.now()
        if is_away and self._told is None:
            self._told = self._describe(rule, table, now)
            self._resolution = fill(rule.resolved, table, 0) or IS_OVER
            self._hand_over(channels, self._told)
        elif is_away is False and self._told is not None:
            told, self._told = self._told, None
            ended = replace(
                told,
                kind=NotificationKind.RESOLVED,
                state=AlertState.RESOLVED,
                resolved_at=now,
                number=2,
                resolution=self._resolution,
            )
            self._hand_over(channels, ended)

    def _hand_over(self, channels: KnownChannels, told: ToldAlert) -> None:
        self._pending.append((channels, told))
        self._thread.trigger()

    def send_pending(self) -> None:
        """Sends what is to be told; the body of the thread."""
        while self._pending:
            channels, told = self._pending.pop(0)
            for channel, sealed in channels:
                settings = channel.settings
                is_wanted = channel.enabled and not settings.only_opted_in
                if is_wanted and rank(told.severity) >= rank(settings.min_severity):
                    self._send(channel, sealed, told)

    def _send(self, channel: Channel, sealed: bytes, told: ToldAlert) -> None:
        message_id = f"{told.alert_id}.{told.number}.{channel.channel_id}"
        message = write(message_id, channel, (told,), 1, self._clock.now(), self._courier.public_url)
        outcome = self._courier.send_now(channel, sealed, message)
        if not isinstance(outcome, Delivered):
            extra = {"channel": channel.name, "result": outcome.reason}
            logger.warning("that the database is away could not be told", extra=extra)

    def _describe(self, rule: AlertRule, table: FactTable, now: datetime) -> ToldAlert:
        target = table.targets[0]
        return ToldAlert(
            alert_id=self._new_id(now),
            number=1,
            kind=NotificationKind.FIRING,
            state=AlertState.FIRING,
            severity=rule.severity,
            rule_id=rule.rule_id,
            fingerprint=f"{rule.rule_id}@{target.key}"[:16],
            title=f"{rule.title}: {target.words.get('name', target.key)}",
            summary=fill(rule.summary, table, 0),
            remedy=fill(rule.remedy, table, 0),
            link=rule.link,
            labels=dict(target.labels),
            since=now,
            fired_at=now,
            resolved_at=None,
        )
