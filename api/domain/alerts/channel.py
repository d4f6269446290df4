"""Notification channels and their deliveries. No I/O."""

from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum

from api.domain.alerts.alert import AlertState, Matcher, NotificationKind
from api.domain.machines.gpu_event import Severity


class ChannelKind(StrEnum):
    """How a channel reaches people."""

    APPRISE = "apprise"  #: e-mail, SMS or chat through an Apprise address
    WEBHOOK = "webhook"  #: a signed POST request


class WebhookFormat(StrEnum):
    """The body format of a webhook."""

    ALERTMANAGER = "alertmanager"  #: Alertmanager's version 4
    PLAIN = "plain"


class DeliveryState(StrEnum):
    """The state of a delivery."""

    WAITING = "waiting"  #: waits for its next attempt
    SENDING = "sending"
    DELIVERED = "delivered"
    REJECTED = "rejected"  #: the receiver rejected it permanently
    EXPIRED = "expired"  #: not delivered within 24 h

    @property
    def is_finished(self) -> bool:
        """Whether the state is final."""
        return self not in (DeliveryState.WAITING, DeliveryState.SENDING)


class DeliveryKind(StrEnum):
    """The content of a delivery."""

    ALERTS = "alerts"  #: alerts of one group
    DIGEST = "digest"  #: all notifications held back during quiet hours
    TEST = "test"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours in which only critical alerts are sent. Others wait until the end."""

    zone: str  #: IANA name, such as Europe/Berlin
    begins: time
    ends: time


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Which notifications a channel sends, and how often."""

    min_severity: Severity = Severity.WARNING
    matchers: tuple[Matcher, ...] = ()  #: all must match; empty: everything matches
    send_resolved: bool = True
    only_opted_in: bool = False  #: only notifications that a training's own request asks for
    group_wait_seconds: float = 30.0
    critical_wait_seconds: float = 5.0
    per_minute: int = 6
    per_hour: int = 60
    repeat_critical_seconds: float | None = 4 * 3600.0  #: None: never
    repeat_warning_seconds: float | None = 24 * 3600.0
    quiet_hours: QuietHours | None = None
    webhook_format: WebhookFormat = WebhookFormat.ALERTMANAGER


#: The id of the channel that the setting NOTIFY_URL creates.
ENVIRONMENT_CHANNEL = "channel_environment"


@dataclass(frozen=True, slots=True)
class Channel:
    """A notification channel without its secret address."""

    channel_id: str
    name: str
    kind: ChannelKind
    shown: str  #: masked address
    mark: str  #: distinguishes addresses without revealing them
    settings: ChannelSettings
    enabled: bool
    created_at: datetime
    created_by: str
    updated_at: datetime
    disabled_reason: str | None = None  #: why the service disabled it
    failures: int = 0  #: consecutive failures
    refusals: int = 0  #: consecutive rejections that mean that the address is no longer valid
    last_error: str | None = None
    last_success_at: datetime | None = None

    @property
    def is_from_environment(self) -> bool:
        """Whether the setting NOTIFY_URL created it. Requests cannot change it."""
        return self.channel_id == ENVIRONMENT_CHANNEL


@dataclass(frozen=True, slots=True)
class ChannelSecret:
    """The secrets of a channel."""

    url: str
    key: str | None = None  #: key that signs a webhook's messages


@dataclass(frozen=True, slots=True)
class AlertSnapshot:
    """An alert as it was when its notification was made."""

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
    """One message to be sent through one channel."""

    delivery_id: str
    channel_id: str
    kind: DeliveryKind
    state: DeliveryState
    severity: Severity
    group_key: str
    count: int  #: number of notifications in it
    attempts: int
    created_at: datetime
    not_before: datetime
    first_attempt_at: datetime | None = None
    finished_at: datetime | None = None
    status: int | None = None  #: HTTP status from the receiver
    result: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery that this server may send until its lease ends, with everything that sending needs."""

    delivery: Delivery
    token: str
    channel: Channel
    sealed: bytes  #: encrypted secrets of the channel
    alerts: tuple[AlertSnapshot, ...]


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery as the API shows it."""

    delivery_id: str
    channel_id: str
    channel: str | None  #: its name; null if the channel is deleted
    kind: DeliveryKind  #: what the message is about
    state: DeliveryState
    severity: Severity  #: highest severity of its alerts
    count: int  #: number of alerts in it
    alerts: tuple[str, ...]  #: ids of the first 100
    attempts: int  #: number of attempts to send it
    created_at: datetime
    not_before: datetime | None  #: next attempt; null if it has ended
    finished_at: datetime | None
    status: int | None  #: HTTP status of the receiver; null if there was none
    result: str | None  #: answer of the receiver, or the error; null before the first attempt


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to list."""

    states: tuple[DeliveryState, ...] = ()
    channel_id: str | None = None
    alert_id: str | None = None
