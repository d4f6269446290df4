"""Channels to people, and what is on its way through them. No I/O."""

from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum

from api.domain.alert import AlertState, Matcher, NotificationKind
from api.domain.event import Severity


class ChannelKind(StrEnum):
    """How a channel reaches people."""

    APPRISE = "apprise"  #: e-mail, SMS, chat: by an Apprise address
    WEBHOOK = "webhook"  #: a signed POST of our own


class WebhookFormat(StrEnum):
    """What a webhook's body looks like."""

    ALERTMANAGER = "alertmanager"  #: Alertmanager's version 4
    PLAIN = "plain"


class DeliveryState(StrEnum):
    """Where a delivery is in its life."""

    WAITING = "waiting"  #: until its next attempt
    SENDING = "sending"
    DELIVERED = "delivered"
    REJECTED = "rejected"  #: the receiver refused it for good
    EXPIRED = "expired"  #: nobody took it within 24 h

    @property
    def is_finished(self) -> bool:
        """Whether nothing more is tried."""
        return self not in (DeliveryState.WAITING, DeliveryState.SENDING)


class DeliveryKind(StrEnum):
    """What a delivery holds."""

    ALERTS = "alerts"  #: of one group
    DIGEST = "digest"  #: all that was held back
    TEST = "test"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A time of day in which only what is critical is told; the rest waits until its end."""

    zone: str  #: an IANA name, as Europe/Berlin
    begins: time
    ends: time


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """What goes through a channel, and how often."""

    min_severity: Severity = Severity.WARNING
    matchers: tuple[Matcher, ...] = ()  #: all must fit; none: everything
    send_resolved: bool = True
    only_opted_in: bool = False  #: only what a training's own request asks to be told
    group_wait_seconds: float = 30.0
    critical_wait_seconds: float = 5.0
    per_minute: int = 6
    per_hour: int = 60
    repeat_critical_seconds: float | None = 4 * 3600.0  #: None: never
    repeat_warning_seconds: float | None = 24 * 3600.0
    quiet_hours: QuietHours | None = None
    webhook_format: WebhookFormat = WebhookFormat.ALERTMANAGER


#: The id of the channel of the setting NOTIFY_URL.
ENVIRONMENT_CHANNEL = "channel_environment"


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to people, without its secret address."""

    channel_id: str
    name: str
    kind: ChannelKind
    shown: str  #: its address, masked
    mark: str  #: tells one address from another without showing it
    settings: ChannelSettings
    enabled: bool
    created_at: datetime
    created_by: str
    updated_at: datetime
    disabled_reason: str | None = None  #: why the service itself has put it aside
    failures: int = 0  #: in a row
    refusals: int = 0  #: in a row, of those that say that the address is no longer good
    last_error: str | None = None
    last_success_at: datetime | None = None

    @property
    def is_from_environment(self) -> bool:
        """Whether the setting NOTIFY_URL made it: requests cannot change it."""
        return self.channel_id == ENVIRONMENT_CHANNEL


@dataclass(frozen=True, slots=True)
class ChannelSecret:
    """What is secret of a channel."""

    url: str
    key: str | None = None  #: that a webhook's messages are signed with


@dataclass(frozen=True, slots=True)
class ToldAlert:
    """An alert in a message, as it was when its notification was made."""

    alert_id: str
    number: int
    kind: NotificationKind
    state: AlertState
    severity: Severity
    rule_id: str
    fingerprint: str
    title: str
    summary: str
    remedy: str
    link: str | None
    labels: dict[str, str]
    since: datetime
    fired_at: datetime | None
    resolved_at: datetime | None
    value: float | None = None
    peak: float | None = None
    resolution: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way through one channel."""

    delivery_id: str
    channel_id: str
    kind: DeliveryKind
    state: DeliveryState
    severity: Severity
    group_key: str
    count: int  #: of notifications in it
    attempts: int
    created_at: datetime
    not_before: datetime
    first_attempt_at: datetime | None = None
    finished_at: datetime | None = None
    status: int | None = None  #: the receiver's HTTP status
    result: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery that is ours to send until its lease ends, with everything that is needed for it."""

    delivery: Delivery
    token: str
    channel: Channel
    sealed: bytes  #: the channel's secret, encrypted
    alerts: tuple[ToldAlert, ...]


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery as the API shows it."""

    delivery_id: str
    channel_id: str
    channel: str | None  #: its name; null when the channel is gone
    kind: DeliveryKind
    state: DeliveryState
    severity: Severity
    count: int
    alerts: tuple[str, ...]  #: the ids of the first 100
    attempts: int
    created_at: datetime
    not_before: datetime | None  #: the next attempt; null when it has ended
    finished_at: datetime | None
    status: int | None
    result: str | None


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries a list shows."""

    states: tuple[DeliveryState, ...] = ()
    channel_id: str | None = None
    alert_id: str | None = None
