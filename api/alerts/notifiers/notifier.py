"""The seam between what is to be told and the ways to people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import quote

from api.domain.channel import ChannelSecret, ChannelSettings, ToldAlert
from api.domain.event import Severity

#: Statuses of HTTP after which another attempt may succeed; every other 4xx is for good.
PASSING_STATUSES = frozenset({408, 425, 429})

#: Statuses that say that the address is no longer good.
REFUSAL_STATUSES = frozenset({401, 403, 404, 410})


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """One message, ready to be told. `id` stays the same over all attempts, so that a receiver can drop doubles."""

    id: str
    title: str
    body: str
    severity: Severity
    is_resolved: bool  #: nothing in it fires any more
    alerts: tuple[ToldAlert, ...]
    total: int  #: of alerts; `alerts` may hold the first of them only
    group_key: str
    channel_name: str
    sent_at: datetime
    is_test: bool = False
    link: str | None = None  #: where the page shows it; None without PUBLIC_URL
    public_url: str = ""
    parts: "tuple[OutboundMessage, ...]" = ()  #: one for each of several alerts, for services that keep incidents


def page_link(told: ToldAlert | None, public_url: str) -> str | None:
    """Return where the page shows the alert's training, its GPU or itself, or all alerts; None without PUBLIC_URL."""
    if not public_url:
        return None
    if told is None:
        return f"{public_url}/#/alerts"
    if task := told.labels.get("task_id"):
        return f"{public_url}/#/tasks/{quote(task, safe='')}"
    if gpu := told.labels.get("gpu_uuid"):
        return f"{public_url}/#/gpu/{quote(gpu, safe='')}"
    return f"{public_url}/#/alerts?alert={quote(told.alert_id, safe='')}"


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has taken it."""

    status: int | None = None


@dataclass(frozen=True, slots=True)
class RetryLater:
    """It may succeed later. `after_seconds`: what the receiver asks for."""

    reason: str
    after_seconds: float | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """It will never succeed. With `is_refusal` the address itself is no longer good."""

    reason: str
    status: int | None = None
    is_refusal: bool = False


SendOutcome = Delivered | RetryLater | Rejected


class AddressRefused(ValueError):
    """An address cannot be used; the message says why, and repeats nothing secret of it."""


@dataclass(frozen=True, slots=True)
class ShownAddress:
    """What may be shown of an address."""

    text: str


class Notifier(Protocol):
    """One way to people. `send` is bounded in time, may be called from several threads, and never raises."""

    def check(self, secret: ChannelSecret) -> ShownAddress:
        """What may be shown of this address. Raises AddressRefused when nothing can be sent to it."""
        ...

    def send(self, message: OutboundMessage, secret: ChannelSecret, settings: ChannelSettings) -> SendOutcome:
        """Sends a message."""
        ...

    def end_overdue(self) -> None:
        """Ends what has taken too long; called every second."""
        ...


class FakeNotifier:
    """Keeps what it was given, and answers as it is told."""

    def __init__(self, outcomes: Sequence[SendOutcome] = ()) -> None:
        """`outcomes` are given one after the other; when there is none left, everything is delivered."""
        self.sent: list[OutboundMessage] = []
        self.outcomes = list(outcomes)

    def check(self, secret: ChannelSecret) -> ShownAddress:
        if secret.url.startswith("bad"):
            raise AddressRefused("is no address")
        return ShownAddress(secret.url.partition(":")[0] + "://…")

    def send(self, message: OutboundMessage, secret: ChannelSecret, settings: ChannelSettings) -> SendOutcome:
        self.sent.append(message)
        return self.outcomes.pop(0) if self.outcomes else Delivered(200)

    def end_overdue(self) -> None:
        """Does nothing: it takes no time."""
