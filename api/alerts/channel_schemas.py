"""What requests about channels and deliveries may hold, and what their answers look like."""

from dataclasses import fields
from datetime import time
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from api.alerts.channels import ChannelRequest
from api.alerts.schemas import DAY, ID, Matchers, Weight
from api.alerts.views import ChannelView
from api.domain.channel import (
    ChannelKind,
    ChannelSecret,
    ChannelSettings,
    DeliveryFilter,
    DeliveryState,
    DeliveryView,
    QuietHours,
    WebhookFormat,
)
from api.util.pagination import Pagination
from api.util.validation import Strict
from api.web.schemas import Envelope, PageQuery, Shown, whole

Number = Annotated[int, Field(ge=1, le=10_000), BeforeValidator(whole)]
ChannelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]


def _clock_time(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a time of day such as 22:00")
    try:
        hours, minutes = value.split(":")
        return time(int(hours), int(minutes))
    except ValueError:
        raise ValueError("must be a time of day such as 22:00") from None


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone; they are called like Europe/Berlin") from None
    return name


ClockTime = Annotated[
    time,
    BeforeValidator(_clock_time, json_schema_input_type=Annotated[str, Field(pattern=r"^[0-9]{1,2}:[0-9]{2}$")]),
]


class QuietHoursBody(Strict):
    """A time of day in which only what is critical is told; the rest comes at its end, as one message."""

    model_config = ConfigDict(strict=True)

    zone: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_+\-/]+$"), AfterValidator(_zone)]
    begins: ClockTime = Field(strict=False)
    ends: ClockTime = Field(strict=False)

    def quiet_hours(self) -> QuietHours:
        """The quiet hours as the service takes them."""
        return QuietHours(self.zone, self.begins, self.ends)


class ChannelFields(Strict):
    """What goes through a channel, and how often."""

    model_config = ConfigDict(strict=True)

    url: Annotated[str, Field(min_length=1, max_length=2000)] | None = Field(
        None, description="its address: taken, kept encrypted, and never shown again"
    )
    signing_key: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="of a webhook: whsec_ and the base64 of 24 to 64 random bytes"
    )
    enabled: bool | None = None
    min_severity: Weight | None = Field(None, description="this and what is graver; warning by default")
    matchers: Matchers | None = Field(None, description="only what fits all of these")
    send_resolved: bool | None = Field(None, description="also that something is over; true by default")
    only_opted_in: bool | None = Field(None, description="only what a training's own `notify` asks for")
    group_wait_seconds: Annotated[float, Field(ge=0, le=3600)] | None = Field(None, description="30 by default")
    critical_wait_seconds: Annotated[float, Field(ge=0, le=3600)] | None = Field(None, description="5 by default")
    per_minute: Number | None = Field(None, description="messages a minute; 6 by default")
    per_hour: Number | None = Field(None, description="messages an hour; 60 by default")
    repeat_critical_seconds: Annotated[float, Field(ge=60, le=30 * DAY)] | None = Field(
        None, description="how often what is critical is told again; null: never"
    )
    repeat_warning_seconds: Annotated[float, Field(ge=60, le=30 * DAY)] | None = Field(
        None, description="and a warning; null: never"
    )
    quiet_hours: QuietHoursBody | None = None
    webhook_format: Annotated[WebhookFormat, Field(strict=False)] | None = Field(
        None, description="alertmanager by default"
    )

    def settings(self) -> dict[str, Any]:
        """The settings that are given."""
        given = {name: getattr(self, name) for name in self.model_fields_set if name in _SETTINGS}
        kept = {name: value for name, value in given.items() if value is not None or name in _MAY_BE_NONE}
        if kept.get("matchers") is not None:
            kept["matchers"] = tuple(each.matcher() for each in kept["matchers"])
        if kept.get("quiet_hours") is not None:
            kept["quiet_hours"] = kept["quiet_hours"].quiet_hours()
        return kept


_SETTINGS = frozenset(each.name for each in fields(ChannelSettings))
_MAY_BE_NONE = frozenset({"repeat_critical_seconds", "repeat_warning_seconds", "quiet_hours"})


class MakeChannel(ChannelFields):
    """A way to people."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {
                "name": "mail",
                "kind": "apprise",
                "url": "mailtos://user:password@smtp.example.org/?to=me@example.org",
            }
        },
    )

    name: ChannelName
    kind: Annotated[ChannelKind, Field(strict=False)] = Field(
        description="apprise: e-mail, SMS, chat, by an address as Apprise has them; webhook: a signed POST"
    )
    url: Annotated[str, Field(min_length=1, max_length=2000)] = Field(
        description="its address: taken, kept encrypted, and never shown again"
    )

    def request(self) -> ChannelRequest:
        """The request as the service takes it."""
        secret = ChannelSecret(self.url, self.signing_key)
        enabled = True if self.enabled is None else self.enabled
        return ChannelRequest(self.name, self.kind, secret, ChannelSettings(**self.settings()), enabled)


class ChangeChannel(ChannelFields):
    """What is to be changed of a channel. A new signing key needs the url with it."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"enabled": False}})

    name: ChannelName | None = None

    @model_validator(mode="after")
    def _something(self) -> "ChangeChannel":
        if not self.model_fields_set:
            raise ValueError("say what is to be changed")
        if self.signing_key is not None and self.url is None:
            raise ValueError("give the url together with its new signing_key")
        return self

    def changes(self) -> dict[str, Any]:
        """What is changed besides the settings."""
        changes: dict[str, Any] = {
            name: getattr(self, name) for name in ("name", "enabled") if getattr(self, name) is not None
        }
        if self.url is not None:
            changes["secret"] = ChannelSecret(self.url, self.signing_key)
        return changes


class ChannelList(Shown):
    """Channels, newest first."""

    channels: list[ChannelView]
    pagination: Pagination


class ChannelListAnswer(Envelope[ChannelList]):
    """Channels."""


class ChannelAnswer(Envelope[ChannelView]):
    """One channel."""


class TestedChannel(Shown):
    """A message to try a channel, on its way."""

    delivery_id: str


class TestedChannelAnswer(Envelope[TestedChannel]):
    """A message to try a channel, on its way."""


class DeliveryQuery(PageQuery):
    """Which deliveries; filters are joined by and."""

    state: DeliveryState | None = Field(None, description="only in this state")
    channel_id: str | None = Field(None, pattern=ID, description="only through this channel")
    alert_id: str | None = Field(None, pattern=ID, description="only about this alert")

    def wanted(self) -> DeliveryFilter:
        """The filter as the service takes it."""
        return DeliveryFilter(() if self.state is None else (self.state,), self.channel_id, self.alert_id)


class DeliveryList(Shown):
    """Deliveries, newest first."""

    deliveries: list[DeliveryView]
    pagination: Pagination


class DeliveryListAnswer(Envelope[DeliveryList]):
    """Deliveries."""
