"""Channels: made, changed, tried and forgotten; their addresses are taken and never given again."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from api.alerts.channel_store import ChannelStore
from api.alerts.delivery_rows import Bundle
from api.alerts.known_ids import check_id
from api.alerts.notifiers.notifier import AddressRefused, Notifier, ShownAddress
from api.alerts.outbox_store import OutboxStore
from api.alerts.pages import read_page
from api.alerts.views import ChannelView, show_channel
from api.db.sealing import Sealer, SecretUnreadable
from api.domain.access import Permission, Principal
from api.domain.alert import AlertState, NotificationKind
from api.domain.channel import (
    Channel,
    ChannelKind,
    ChannelSecret,
    ChannelSettings,
    DeliveryFilter,
    DeliveryKind,
    DeliveryView,
    ToldAlert,
)
from api.domain.event import Severity
from api.errors import Conflict, Invalid, Mistake, RateLimited, Unavailable
from api.util.clock import Clock
from api.util.ids import new_task_id
from api.util.pagination import Page, PageRequest

#: Channels at most.
MOST_CHANNELS = 200

#: Seconds between two tries of one channel.
TEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ChannelRequest:
    """A channel that is wanted."""

    name: str
    kind: ChannelKind
    secret: ChannelSecret
    settings: ChannelSettings
    enabled: bool = True


class ChannelService:
    """The channels."""

    def __init__(
        self,
        store: ChannelStore,
        outbox: OutboxStore,
        sealer: Sealer,
        notifiers: Mapping[ChannelKind, Notifier],
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._sealer = sealer
        self._notifiers = notifiers
        self._clock = clock
        self._on_change = on_change
        self._tested: dict[str, float] = {}

    def get_page(self, page: PageRequest, by: Principal) -> Page[ChannelView]:
        """Channels, newest first."""
        return read_page(self._store.page, page).map(lambda channel: _show(channel, by))

    def get(self, channel_id: str, by: Principal) -> ChannelView:
        """One channel. Raises AlertNotFound."""
        return _show(self._find(channel_id), by)

    def add(self, wanted: ChannelRequest, by: Principal) -> ChannelView:
        """Makes a channel. Raises Invalid for an address to which nothing can be sent, Conflict for a known name."""
        if len(self._store.every()) >= MOST_CHANNELS:
            raise Conflict(f"There are {MOST_CHANNELS} channels already, which is the most: delete some.")
        shown, now = self._check(wanted.kind, wanted.secret), self._clock.now()
        channel = Channel(
            channel_id=new_task_id("channel", now),
            name=wanted.name,
            kind=wanted.kind,
            shown=shown.text,
            mark=mark_of(wanted.secret),
            settings=wanted.settings,
            enabled=wanted.enabled,
            created_at=now,
            created_by=by.actor,
            updated_at=now,
        )
        self._store.add(channel, self._seal(wanted.secret))
        self._on_change()
        return _show(channel, by)

    def change(
        self, channel_id: str, changes: Mapping[str, Any], settings: Mapping[str, Any], by: Principal
    ) -> ChannelView:
        """Changes a channel: `changes` are its name, whether it is enabled, and its secret. Raises AlertNotFound,
        Invalid, Conflict.
        """
        before = self._find_own(channel_id)
        plain = dict(changes)
        secret: ChannelSecret | None = plain.pop("secret", None)
        after = replace(before, settings=replace(before.settings, **settings), updated_at=self._clock.now(), **plain)
        sealed = None
        if secret is not None:
            after = replace(after, shown=self._check(before.kind, secret).text, mark=mark_of(secret))
            sealed = self._seal(secret)
        if secret is not None or plain.get("enabled"):
            after = replace(after, disabled_reason=None, failures=0, refusals=0)
        self._store.replace(after, before, sealed)
        self._on_change()
        return self.get(channel_id, by)

    def delete(self, channel_id: str, by: Principal) -> ChannelView:
        """Forgets a channel. Raises AlertNotFound, and Conflict for the one of NOTIFY_URL."""
        shown = _show(self._find_own(channel_id), by)
        self._store.delete(channel_id)
        self._on_change()
        return shown

    def test(self, channel_id: str) -> str:
        """Puts a message to try a channel into the outbox: the id of its delivery. Raises AlertNotFound, RateLimited,
        and Conflict for one that is switched off.
        """
        channel, monotonic = self._find(channel_id), self._clock.monotonic()
        if not channel.enabled:
            raise Conflict(f'The channel "{channel.name}" is switched off: enable it first.')
        wait = TEST_SECONDS - (monotonic - self._tested.get(channel_id, float("-inf")))
        if wait > 0:
            seconds = str(int(wait) + 1)
            raise RateLimited(f"It was tried a moment ago: ask in {seconds} s.", headers={"Retry-After": seconds})
        self._tested[channel_id] = monotonic
        now = self._clock.now()
        bundle = Bundle(new_task_id("delivery", now), channel_id, DeliveryKind.TEST, Severity.INFO, "test", ())
        self._outbox.add_test(bundle, _test_message(channel, bundle.delivery_id, now), now)
        self._on_change()
        return bundle.delivery_id

    def get_deliveries(self, wanted: DeliveryFilter, page: PageRequest) -> Page[DeliveryView]:
        """Deliveries, newest first."""
        return read_page(lambda *cut: self._outbox.page(wanted, *cut), page)

    def _find(self, channel_id: str) -> Channel:
        check_id(channel_id, "channel")
        return self._store.get(channel_id)

    def _find_own(self, channel_id: str) -> Channel:
        channel = self._find(channel_id)
        if channel.is_from_environment:
            raise Conflict("This channel comes from the setting NOTIFY_URL: change it in .env and restart the service.")
        return channel

    def _check(self, kind: ChannelKind, secret: ChannelSecret) -> ShownAddress:
        if secret.key is not None and kind is not ChannelKind.WEBHOOK:
            raise Invalid(mistakes=[Mistake("/signing_key", "is for webhooks: other channels are not signed")])
        try:
            return self._notifiers[kind].check(secret)
        except AddressRefused as error:
            raise Invalid(mistakes=[Mistake("/url", str(error))]) from None

    def _seal(self, secret: ChannelSecret) -> bytes:
        try:
            return self._sealer.seal(secret)
        except SecretUnreadable as error:
            raise Unavailable(f"Addresses cannot be kept: {error}", headers={"Retry-After": "60"}) from error


def _show(channel: Channel, by: Principal) -> ChannelView:
    return show_channel(channel, by.may(Permission.ALERTS_MANAGE))


def mark_of(secret: ChannelSecret) -> str:
    """A short mark that tells one address from another. Long to compute, since topics and tokens may be guessable."""
    raw = hashlib.pbkdf2_hmac("sha256", secret.url.encode(), b"diffusion-pipe-api channel", 100_000)
    return hmac.new(raw, b"mark", hashlib.sha256).hexdigest()[:12]


def _test_message(channel: Channel, delivery_id: str, now: datetime) -> ToldAlert:
    return ToldAlert(
        alert_id=delivery_id,
        number=0,
        kind=NotificationKind.TEST,
        state=AlertState.FIRING,
        severity=Severity.INFO,
        rule_id="test",
        fingerprint="0" * 16,
        title="✅ Test: alerts of Diffusion-Pipe API reach you here.",
        summary=f'This is a test of the channel "{channel.name}". Nothing is wrong.',
        remedy="",
        link=None,
        labels={},
        since=now,
        fired_at=now - timedelta(0),
        resolved_at=None,
    )
