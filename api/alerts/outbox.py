"""Drains the outbox: puts what waits into messages, and hands each message that is due to whoever sends.

A group's first notification waits for the others; a channel that has had its share of messages gets one digest of all
that came meanwhile: late, but nothing is lost.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from api.alerts.channel_store import ChannelStore
from api.alerts.delivery_rows import Bundle
from api.alerts.machine import rank
from api.alerts.outbox_store import ChannelTraffic, OutboxStore, WaitingNotification
from api.domain.alert import NotificationKind
from api.domain.channel import Channel, DeliveryKind
from api.domain.event import Severity
from api.errors import DatabaseUnavailable
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two rounds; a change that is to be told wakes it at once.
ROUND_SECONDS = 0.5

#: Seconds between two looks at a database in which nothing is due: other servers may have put something there.
LOOK_SECONDS = 5.0


class Carriers(Protocol):
    """Who sends: threads of this process, or Celery's workers. Every call returns at once."""

    def busy(self) -> frozenset[str]:
        """The channels that something is being sent through now."""
        ...

    def carry(self, delivery_id: str, channel_id: str) -> bool:
        """Has a delivery made; False when nobody is free."""
        ...

    def look(self) -> None:
        """Is called in every round of the outbox, for what has to be looked at now and then."""
        ...


@dataclass(slots=True)
class FakeCarriers:
    """Notes what it is to carry."""

    carried: list[str] = field(default_factory=list)
    busy_channels: set[str] = field(default_factory=set)

    def busy(self) -> frozenset[str]:
        return frozenset(self.busy_channels)

    def carry(self, delivery_id: str, channel_id: str) -> bool:
        self.carried.append(delivery_id)
        return True

    def look(self) -> None:
        """Does nothing."""


class Outbox:
    """The loop that drains the outbox. Every server on the database may run one."""

    def __init__(
        self,
        store: OutboxStore,
        channels: ChannelStore,
        carriers: Carriers,
        clock: Clock,
        new_id: Callable[[datetime], str],
    ) -> None:
        self._store = store
        self._channels = channels
        self._carriers = carriers
        self._clock = clock
        self._new_id = new_id
        self._look_at = float("-inf")
        self._thread = PeriodicThread("alert-outbox", ROUND_SECONDS, self.run_once)

    def start(self) -> None:
        """Starts to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """Stops. What waits is delivered after the next start."""
        self._thread.stop()

    def wake(self) -> None:
        """Has the outbox looked at at once."""
        self._look_at = float("-inf")
        self._thread.trigger()

    def run_once(self) -> None:
        """Makes one round, if anything may be due."""
        self._carriers.look()
        monotonic = self._clock.monotonic()
        if monotonic < self._look_at:
            return
        self._look_at = monotonic + LOOK_SECONDS
        try:
            # Mostly nothing is due, and one statement says so.
            is_all_carried, following = True, self._store.next_look(self._clock.now())
            if following is not None and following <= self._clock.now():
                has_room = self._bundle()
                is_all_carried = self._carry()
                # What no channel has room for is not looked at anew twice a second: it may be ten thousand rows.
                following = self._store.next_look(self._clock.now(), with_notifications=has_room)
        except DatabaseUnavailable:
            self._look_at = monotonic + 1.0
            return
        if not is_all_carried:
            self._look_at = monotonic + ROUND_SECONDS
        elif following is not None:
            wait = (following - self._clock.now()).total_seconds()
            self._look_at = min(self._look_at, monotonic + max(wait, ROUND_SECONDS))

    def _carry(self) -> bool:
        """False when something is due that nobody could take up."""
        busy, is_all = set(self._carriers.busy()), True
        for delivery_id, channel_id in self._store.due(self._clock.now()):
            # One at a time through each channel: what came first is told first, and a slow one holds up no other.
            if channel_id in busy or not self._carriers.carry(delivery_id, channel_id):
                is_all = False
                continue
            busy.add(channel_id)
        return is_all

    # -- from notifications to messages ------------------------------------------------------------------------------

    def _bundle(self) -> bool:
        """False when a channel has had its share of messages, and so something waits that is due."""
        now = self._clock.now()
        waiting = self._store.waiting(now)
        if not waiting:
            return True
        channels = {channel.channel_id: channel for channel in self._channels.every()}
        by_channel: dict[str, list[WaitingNotification]] = {}
        for note in waiting:
            by_channel.setdefault(note.channel_id, []).append(note)
        has_room = True
        for channel_id, notes in by_channel.items():
            channel = channels.get(channel_id)
            if channel is None or not channel.enabled:
                # Whoever enables it again is told of what fires then.
                self._store.supersede([note.id for note in notes])
            elif any(note.not_before <= now for note in notes):
                has_room &= self._bundle_channel(channel, notes, now)
        return has_room

    def _bundle_channel(self, channel: Channel, notes: Sequence[WaitingNotification], now: datetime) -> bool:
        traffic = self._store.traffic(channel.channel_id, now)
        ready = [note for note in notes if note.alert_id not in traffic.busy_alerts]
        told = self._drop_pointless(channel.channel_id, ready)
        groups = due_groups(told, now)
        room = _room(channel, traffic)
        if room <= 0:
            return not groups
        if len(groups) > room:
            merged = [note for group in groups for note in group]
            self._make(channel, DeliveryKind.DIGEST, merged, now)
        else:
            for group in groups:
                self._make(channel, DeliveryKind.ALERTS, group, now)
        return True

    def _drop_pointless(self, channel_id: str, notes: Sequence[WaitingNotification]) -> list[WaitingNotification]:
        """Without the ends of what the channel was never told of."""
        firing = {note.alert_id for note in notes if note.kind.says_firing}
        ends = [note for note in notes if note.kind is NotificationKind.RESOLVED and note.alert_id not in firing]
        known = self._store.got_word(channel_id, {note.alert_id for note in ends}) if ends else set()
        pointless = {note.id for note in ends if note.alert_id not in known}
        if pointless:
            self._store.supersede(sorted(pointless))
        return [note for note in notes if note.id not in pointless]

    def _make(self, channel: Channel, kind: DeliveryKind, notes: Sequence[WaitingNotification], now: datetime) -> None:
        severity = max((note.severity for note in notes), key=rank, default=Severity.INFO)
        group = notes[0].group_key if kind is DeliveryKind.ALERTS else "digest"
        ids = tuple(note.id for note in notes)
        bundle = Bundle(self._new_id(now), channel.channel_id, kind, severity, group, ids)
        if self._store.bundle(bundle, now) and kind is DeliveryKind.DIGEST:
            extra = {"channel": channel.name, "notifications": len(ids)}
            logger.warning("a channel has had its share of messages: the rest comes as one digest", extra=extra)


def due_groups(notes: Sequence[WaitingNotification], now: datetime) -> list[list[WaitingNotification]]:
    """The groups of which one notification is due, with all that waits for them: whatever of them was to come later
    comes along.
    """
    groups: dict[str, list[WaitingNotification]] = {}
    for note in notes:
        groups.setdefault(note.group_key, []).append(note)
    return [group for group in groups.values() if any(note.not_before <= now for note in group)]


def _room(channel: Channel, traffic: ChannelTraffic) -> int:
    """How many messages the channel may still have at present."""
    settings = channel.settings
    return min(settings.per_minute - traffic.in_minute, settings.per_hour - traffic.in_hour)
