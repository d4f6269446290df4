"""The interface of the ways to send notifications."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from api.domain.alerts.channel import AlertSnapshot, ChannelSecret, ChannelSettings
from api.domain.finding import make_finding
from api.domain.machines.gpu_event import Severity
from api.errors import FindingText

ADDRESS_UNREADABLE = FindingText("address_unreadable", "cannot be read: percent-encode its special characters")

#: HTTP statuses after which another attempt may succeed. Every other 4xx status is final.
PASSING_STATUSES = frozenset({408, 425, 429})

#: HTTP statuses that say that the address is no longer valid.
REFUSAL_STATUSES = frozenset({401, 403, 404, 410})


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """One message, ready to send.

    `id` stays the same over all attempts, so that a receiver can drop duplicates.
    """

    id: str
    title: str
    body: str
    severity: Severity
    is_resolved: bool  #: none of its alerts fires any more
    alerts: tuple[AlertSnapshot, ...]
    total: int  #: total number of alerts; `alerts` may contain only the first of them
    group_key: str
    channel_name: str
    sent_at: datetime
    is_test: bool = False
    link: str | None = None  #: its address on the page; None without PUBLIC_URL
    public_url: str = ""
    parts: "tuple[OutboundMessage, ...]" = ()  #: one for each of several alerts, for incident services


def page_link(alert: AlertSnapshot | None, public_url: str) -> str | None:
    """Return the page's address for the alert's training or GPU, the alert itself, or all alerts.

    None without PUBLIC_URL.
    """
    if not public_url:
        return None
    if alert is None:
        return f"{public_url}/#/alerts"
    if task := alert.labels.get("task_id"):
        return f"{public_url}/#/trainings/{quote(task, safe='')}"
    if gpu := alert.labels.get("gpu_uuid"):
        return f"{public_url}/#/gpu/{quote(gpu, safe='')}"
    return f"{public_url}/#/alerts?alert={quote(alert.alert_id, safe='')}"


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has accepted the message."""

    status: int | None = None


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The attempt failed, but another may succeed. `after_seconds` is the wait that the receiver requests."""

    reason: str
    after_seconds: float | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The attempt failed, and so will every other. `is_refusal`: the address itself is no longer valid."""

    reason: str
    status: int | None = None
    is_refusal: bool = False


SendOutcome = Delivered | RetryLater | Rejected


class AddressRefused(ValueError):
    """The address cannot be used. The message says why, and contains no secret part of it."""

    def __init__(self, text: FindingText, /, **params: Any) -> None:
        """Create the error with the finding that has this text."""
        self.finding = make_finding("/url", text, **params)
        super().__init__(self.finding.message)


@dataclass(frozen=True, slots=True)
class ShownAddress:
    """The part of an address that may be shown."""

    text: str


class Notifier(Protocol):
    """One way to send notifications. `send` is bounded in time, thread-safe, and never raises."""

    def check(self, secret: ChannelSecret) -> ShownAddress:
        """Return the part of this address that may be shown. Raises AddressRefused if it cannot be used."""
        ...

    def send(self, message: OutboundMessage, secret: ChannelSecret, settings: ChannelSettings) -> SendOutcome:
        """Send a message."""
        ...

    def end_overdue(self) -> None:
        """Shut down connections that exceed their time limit. Called every second."""
        ...


class FakeNotifier:
    """Records messages, and returns the given outcomes."""

    def __init__(self, outcomes: Sequence[SendOutcome] = ()) -> None:
        """Create the fake. `outcomes` are returned one by one; after them, every message is delivered."""
        self.sent: list[OutboundMessage] = []
        self.outcomes = list(outcomes)

    def check(self, secret: ChannelSecret) -> ShownAddress:
        if secret.url.startswith("bad"):
            raise AddressRefused(ADDRESS_UNREADABLE)
        return ShownAddress(secret.url.partition(":")[0] + "://…")

    def send(self, message: OutboundMessage, secret: ChannelSecret, settings: ChannelSettings) -> SendOutcome:
        self.sent.append(message)
        return self.outcomes.pop(0) if self.outcomes else Delivered(200)

    def end_overdue(self) -> None:
        """Do nothing: the fake takes no time."""
