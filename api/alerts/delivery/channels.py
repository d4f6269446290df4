"""The service of channels. Their addresses are stored, but never returned."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from api.alerts.delivery.notifiers.notifier import AddressRefused, Notifier, ShownAddress
from api.alerts.records.channel_store import ChannelStore
from api.alerts.records.delivery_rows import Bundle
from api.alerts.records.outbox_store import OutboxStore
from api.alerts.views import ChannelView, show_channel
from api.db.sealing import Sealer, SecretUnreadable
from api.domain.access.principal import Permission, Principal
from api.domain.alerts.alert import AlertState, NotificationKind
from api.domain.alerts.channel import (
    AlertSnapshot,
    Channel,
    ChannelKind,
    ChannelSecret,
    ChannelSettings,
    DeliveryFilter,
    DeliveryKind,
    DeliveryView,
)
from api.domain.finding import make_finding
from api.domain.machines.gpu_event import Severity
from api.errors import AlertNotFound, Conflict, FindingText, Invalid, RateLimited, Unavailable
from api.util.clock import Clock
from api.util.http.pagination import Page, PageRequest
from api.util.text.ids import is_safe_id, new_task_id

#: Maximum number of channels.
MOST_CHANNELS = 200

#: Seconds between two test messages of one channel.
TEST_SECONDS = 60.0


def check_id(id_: str, noun: str) -> None:
    """Raise AlertNotFound if a text cannot be an id."""
    if not is_safe_id(id_):
        raise AlertNotFound(f"No {noun} has this id.")


@dataclass(frozen=True, slots=True)
class ChannelRequest:
    """A requested channel."""

    name: str
    kind: ChannelKind
    secret: ChannelSecret
    settings: ChannelSettings
    enabled: bool = True


class ChannelService:
    """Creates, changes, tests and deletes channels."""

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
        """Return channels, newest first."""
        return self._store.page(page).map(lambda channel: _show(channel, by))

    def get(self, channel_id: str, by: Principal) -> ChannelView:
        """Return one channel. Raises AlertNotFound."""
        return _show(self._find(channel_id), by)

    def add(self, request: ChannelRequest, by: Principal) -> ChannelView:
        """Create a channel. Raises Invalid if the address cannot be used, and Conflict if the name is taken."""
        if len(self._store.every()) >= MOST_CHANNELS:
            raise Conflict(f"There are already {MOST_CHANNELS} channels, the maximum. Delete some first.")
        shown, now = self._check(request.kind, request.secret), self._clock.now()
        channel = Channel(
            channel_id=new_task_id("channel", now),
            name=request.name,
            kind=request.kind,
            shown=shown.text,
            mark=mark_of(request.secret),
            settings=request.settings,
            enabled=request.enabled,
            created_at=now,
            created_by=by.actor,
            updated_at=now,
        )
        self._store.add(channel, self._seal(request.secret))
        self._on_change()
        return _show(channel, by)

    def change(
        self, channel_id: str, changes: Mapping[str, Any], settings: Mapping[str, Any], by: Principal
    ) -> ChannelView:
        """Change a channel: by `changes` its name, enabled state or secret. Raises AlertNotFound, Invalid, Conflict."""
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
        """Delete a channel. Raises AlertNotFound, and Conflict for the channel of NOTIFY_URL."""
        shown = _show(self._find_own(channel_id), by)
        self._store.delete(channel_id)
        self._on_change()
        return shown

    def test(self, channel_id: str) -> str:
        """Queue a test message; return the id of its delivery.

        Raises AlertNotFound, RateLimited, and Conflict for a disabled channel.
        """
        channel, monotonic = self._find(channel_id), self._clock.monotonic()
        if not channel.enabled:
            raise Conflict(f'The channel "{channel.name}" is disabled. Enable it first.')
        wait = TEST_SECONDS - (monotonic - self._tested.get(channel_id, float("-inf")))
        if wait > 0:
            seconds = str(int(wait) + 1)
            raise RateLimited(
                f"The channel was tested a moment ago. Try again in {seconds} s.", headers={"Retry-After": seconds}
            )
        self._tested[channel_id] = monotonic
        now = self._clock.now()
        bundle = Bundle(new_task_id("delivery", now), channel_id, DeliveryKind.TEST, Severity.INFO, "test", ())
        self._outbox.add_test(bundle, _test_message(channel, bundle.delivery_id, now), now)
        self._on_change()
        return bundle.delivery_id

    def get_deliveries(self, request: DeliveryFilter, page: PageRequest) -> Page[DeliveryView]:
        """Return deliveries, newest first."""
        return self._outbox.page(request, page)

    def _find(self, channel_id: str) -> Channel:
        check_id(channel_id, "channel")
        return self._store.get(channel_id)

    def _find_own(self, channel_id: str) -> Channel:
        channel = self._find(channel_id)
        if channel.is_from_environment:
            raise Conflict("This channel comes from the setting NOTIFY_URL. Change it in .env and restart the service.")
        return channel

    def _check(self, kind: ChannelKind, secret: ChannelSecret) -> ShownAddress:
        if secret.key is not None and kind is not ChannelKind.WEBHOOK:
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/signing_key",
                        FindingText(
                            "signing_key_of_webhooks",
                            "applies to webhooks only; remove it, since other channels are not signed",
                        ),
                    )
                ]
            )
        try:
            return self._notifiers[kind].check(secret)
        except AddressRefused as error:
            raise Invalid(mistakes=[error.finding]) from None

    def _seal(self, secret: ChannelSecret) -> bytes:
        try:
            return self._sealer.seal(secret)
        except SecretUnreadable as error:
            raise Unavailable(f"Addresses cannot be stored: {error}", headers={"Retry-After": "60"}) from error


def _show(channel: Channel, by: Principal) -> ChannelView:
    return show_channel(channel, by.may(Permission.ALERTS_MANAGE))


def mark_of(secret: ChannelSecret) -> str:
    """Return a short mark that distinguishes addresses.

    It is slow to compute, since topics and tokens may be guessable.
    """
    raw = hashlib.pbkdf2_hmac("sha256", secret.url.encode(), b"diffusion-pipe-api channel", 100_000)
    return hmac.new(raw, b"mark", hashlib.sha256).hexdigest()[:12]


def _test_message(channel: Channel, delivery_id: str, now: datetime) -> AlertSnapshot:
    return AlertSnapshot(
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
