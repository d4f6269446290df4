"""Drain the outbox: bundle notifications into deliveries, and pass due deliveries to the senders.

The first notification of a group waits for others. A channel that has used up its message limit gets one digest of all
notifications in the meantime: late, but complete.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from api.alerts.records.channel_store import ChannelStore
from api.alerts.records.delivery_rows import Bundle
from api.alerts.records.outbox_store import ChannelTraffic, OutboxStore, WaitingNotification
from api.alerts.state_machine import rank
from api.domain.alerts.alert import NotificationKind
from api.domain.alerts.channel import Channel, DeliveryKind
from api.domain.machines.gpu_event import Severity
from api.errors import DatabaseUnavailable
from api.util.clock import Clock
from api.util.periodic import LoopOwner, PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two rounds; a change with notifications wakes the loop immediately.
ROUND_SECONDS = 0.5

#: Seconds between two polls of an idle outbox, to which other servers may have added rows.
POLL_SECONDS = 5.0


class Senders(Protocol):
    """Sends deliveries, by threads of this process or by Celery workers. Every call returns immediately."""

    def busy(self) -> frozenset[str]:
        """Return the channels through which a message is being sent now."""
        ...

    def carry(self, delivery_id: str, channel_id: str) -> bool:
        """Start to send a delivery. Return False if all senders are busy."""
        ...

    def check(self) -> None:
        """Do periodic work. Called in every round of the outbox."""
        ...


@dataclass(slots=True)
class FakeSenders:
    """Records the deliveries that it should send."""

    carried: list[str] = field(default_factory=list)
    busy_channels: set[str] = field(default_factory=set)

    def busy(self) -> frozenset[str]:
        return frozenset(self.busy_channels)

    def carry(self, delivery_id: str, channel_id: str) -> bool:
        self.carried.append(delivery_id)
        return True

    def check(self) -> None:
        """Do nothing."""


class Outbox(LoopOwner):
    """The loop that drains the outbox. Every server may run one.

    Notifications that wait at a stop are delivered after the next start.
    """

    def __init__(
        self,
        store: OutboxStore,
        channels: ChannelStore,
        carriers: Senders,
        clock: Clock,
        new_id: Callable[[datetime], str],
    ) -> None:
        self._store = store
        self._channels = channels
        self._carriers = carriers
        self._clock = clock
        self._new_id = new_id
        self._next_poll = float("-inf")
        self._thread = PeriodicThread("alert-outbox", ROUND_SECONDS, self.run_once)

    def wake(self) -> None:
        """Read the outbox immediately."""
        self._next_poll = float("-inf")
        self._thread.trigger()

    def run_once(self) -> None:
        """Run one round, if anything may be due."""
        self._carriers.check()
        monotonic = self._clock.monotonic()
        if monotonic < self._next_poll:
            return
        self._next_poll = monotonic + POLL_SECONDS
        try:
            # Usually nothing is due, and one statement finds that out.
            is_all_carried, following = True, self._store.next_due_at(self._clock.now())
            if following is not None and following <= self._clock.now():
                has_capacity = self._bundle()
                is_all_carried = self._carry_due()
                # Notifications above the channels' limits are not read twice a second: they may be ten thousand rows.
                following = self._store.next_due_at(self._clock.now(), with_notifications=has_capacity)
        except DatabaseUnavailable:
            self._next_poll = monotonic + 1.0
            return
        if not is_all_carried:
            self._next_poll = monotonic + ROUND_SECONDS
        elif following is not None:
            wait = (following - self._clock.now()).total_seconds()
            self._next_poll = min(self._next_poll, monotonic + max(wait, ROUND_SECONDS))

    def _carry_due(self) -> bool:
        """Return False if a due delivery could not be carried."""
        busy, is_all = set(self._carriers.busy()), True
        for delivery_id, channel_id in self._store.due(self._clock.now()):
            # One at a time through each channel: this keeps the order, and a slow channel delays no other.
            if channel_id in busy or not self._carriers.carry(delivery_id, channel_id):
                is_all = False
                continue
            busy.add(channel_id)
        return is_all

    # -- from notifications to messages ------------------------------------------------------------------------------

    def _bundle(self) -> bool:
        """Return False if a due notification waits because its channel's limit is used up."""
        now = self._clock.now()
        waiting = self._store.waiting(now)
        if not waiting:
            return True
        channels = {channel.channel_id: channel for channel in self._channels.every()}
        by_channel: dict[str, list[WaitingNotification]] = {}
        for note in waiting:
            by_channel.setdefault(note.channel_id, []).append(note)
        has_capacity = True
        for channel_id, notes in by_channel.items():
            channel = channels.get(channel_id)
            if channel is None or not channel.enabled:
                # A channel that is enabled again gets the alerts that fire then.
                self._store.supersede([note.id for note in notes])
            elif any(note.not_before <= now for note in notes):
                has_capacity &= self._bundle_channel(channel, notes, now)
        return has_capacity

    def _bundle_channel(self, channel: Channel, notes: Sequence[WaitingNotification], now: datetime) -> bool:
        traffic = self._store.traffic(channel.channel_id, now)
        ready = [note for note in notes if note.alert_id not in traffic.busy_alerts]
        remaining = self._drop_unannounced_ends(channel.channel_id, ready)
        groups = due_groups(remaining, now)
        capacity = _capacity(channel, traffic)
        if capacity <= 0:
            return not groups
        if len(groups) > capacity:
            merged = [note for group in groups for note in group]
            self._bundle_into(channel, DeliveryKind.DIGEST, merged, now)
        else:
            for group in groups:
                self._bundle_into(channel, DeliveryKind.ALERTS, group, now)
        return True

    def _drop_unannounced_ends(
        self, channel_id: str, notes: Sequence[WaitingNotification]
    ) -> list[WaitingNotification]:
        """Return the notifications without the ends of alerts that the channel was not notified of."""
        firing = {note.alert_id for note in notes if note.kind.says_firing}
        ends = [note for note in notes if note.kind is NotificationKind.RESOLVED and note.alert_id not in firing]
        known = self._store.find_notified(channel_id, {note.alert_id for note in ends}) if ends else set()
        unannounced = {note.id for note in ends if note.alert_id not in known}
        if unannounced:
            self._store.supersede(sorted(unannounced))
        return [note for note in notes if note.id not in unannounced]

    def _bundle_into(
        self, channel: Channel, kind: DeliveryKind, notes: Sequence[WaitingNotification], now: datetime
    ) -> None:
        severity = max((note.severity for note in notes), key=rank, default=Severity.INFO)
        group = notes[0].group_key if kind is DeliveryKind.ALERTS else "digest"
        ids = tuple(note.id for note in notes)
        bundle = Bundle(self._new_id(now), channel.channel_id, kind, severity, group, ids)
        if self._store.bundle(bundle, now) and kind is DeliveryKind.DIGEST:
            extra = {"channel": channel.name, "notifications": len(ids)}
            logger.warning("a channel has reached its message limit: the rest is sent as one digest", extra=extra)


def due_groups(notes: Sequence[WaitingNotification], now: datetime) -> list[list[WaitingNotification]]:
    """Return the groups with a due notification, each with all its waiting notifications."""
    groups: dict[str, list[WaitingNotification]] = {}
    for note in notes:
        groups.setdefault(note.group_key, []).append(note)
    return [group for group in groups.values() if any(note.not_before <= now for note in group)]


def _capacity(channel: Channel, traffic: ChannelTraffic) -> int:
    """Return how many messages the channel may still send now."""
    settings = channel.settings
    return min(settings.per_minute - traffic.in_minute, settings.per_hour - traffic.in_hour)
