"""Request and response schemas of channels and deliveries."""

from dataclasses import fields
from datetime import time
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from api.alerts.delivery.channels import ChannelRequest
from api.alerts.schemas import DAY, ID, Matchers, SeverityName
from api.alerts.views import ChannelView
from api.domain.alerts.channel import (
    ChannelKind,
    ChannelSecret,
    ChannelSettings,
    DeliveryFilter,
    DeliveryState,
    DeliveryView,
    QuietHours,
    WebhookFormat,
)
from api.util.http.pagination import Pagination
from api.util.http.validation import Strict
from api.web.schemas import PageQuery, Shown, whole

Number = Annotated[int, Field(ge=1, le=10_000), BeforeValidator(whole)]
ChannelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]


def _clock_time(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a time of day like 22:00")
    try:
        hours, minutes = value.split(":")
        return time(int(hours), int(minutes))
    except ValueError:
        raise ValueError("must be a time of day like 22:00") from None


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not a time zone; use a name like Europe/Berlin") from None
    return name


ClockTime = Annotated[
    time,
    BeforeValidator(_clock_time, json_schema_input_type=Annotated[str, Field(pattern=r"^[0-9]{1,2}:[0-9]{2}$")]),
]


class QuietHoursBody(Strict):
    """A time of day in which only critical alerts are sent. All others are sent at its end, as one message."""

    model_config = ConfigDict(strict=True)

    #: time zone, such as Europe/Berlin
    zone: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_+\-/]+$"), AfterValidator(_zone)]
    begins: ClockTime = Field(strict=False)  #: local time, HH:MM
    ends: ClockTime = Field(strict=False)  #: local time, HH:MM; the next day if it is before `begins`

    def quiet_hours(self) -> QuietHours:
        """Return the quiet hours for the service."""
        return QuietHours(self.zone, self.begins, self.ends)


class ChannelFields(Strict):
    """The alerts that a channel receives, and its limits."""

    model_config = ConfigDict(strict=True)

    url: Annotated[str, Field(min_length=1, max_length=2000)] | None = Field(
        None, description="address of the receiver; stored encrypted and never shown again"
    )
    signing_key: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="signing key of a webhook: whsec_ and the base64 of 24 to 64 random bytes"
    )
    enabled: bool | None = None  #: whether it sends; true by default
    min_severity: SeverityName | None = Field(None, description="the lowest severity that is sent; warning by default")
    matchers: Matchers | None = Field(None, description="only alerts whose labels match all of these")
    send_resolved: bool | None = Field(None, description="also send that an alert has ended; true by default")
    only_opted_in: bool | None = Field(None, description="only alerts that a training requests by its own `notify`")
    group_wait_seconds: Annotated[float, Field(ge=0, le=3600)] | None = Field(
        None, description="seconds to wait for more alerts of a group; 30 by default"
    )
    critical_wait_seconds: Annotated[float, Field(ge=0, le=3600)] | None = Field(
        None, description="the same for critical alerts; 5 by default"
    )
    per_minute: Number | None = Field(None, description="maximum number of messages per minute; 6 by default")
    per_hour: Number | None = Field(None, description="maximum number of messages per hour; 60 by default")
    repeat_critical_seconds: Annotated[float, Field(ge=60, le=30 * DAY)] | None = Field(
        None, description="interval in which critical alerts are repeated; null: never"
    )
    repeat_warning_seconds: Annotated[float, Field(ge=60, le=30 * DAY)] | None = Field(
        None, description="interval in which warnings are repeated; null: never"
    )
    quiet_hours: QuietHoursBody | None = None  #: when only critical alerts are sent; null: never
    webhook_format: Annotated[WebhookFormat, Field(strict=False)] | None = Field(
        None, description="format of a webhook's body; alertmanager by default"
    )

    def settings(self) -> dict[str, Any]:
        """Return the settings that the request contains."""
        given = {name: getattr(self, name) for name in self.model_fields_set if name in _SETTINGS}
        settings = {name: value for name, value in given.items() if value is not None or name in _MAY_BE_NONE}
        if settings.get("matchers") is not None:
            settings["matchers"] = tuple(each.matcher() for each in settings["matchers"])
        if settings.get("quiet_hours") is not None:
            settings["quiet_hours"] = settings["quiet_hours"].quiet_hours()
        return settings


_SETTINGS = frozenset(each.name for each in fields(ChannelSettings))
_MAY_BE_NONE = frozenset({"repeat_critical_seconds", "repeat_warning_seconds", "quiet_hours"})


class CreateChannel(ChannelFields):
    """A new channel for notifications."""

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
        description="apprise: e-mail, SMS or chat, by an Apprise URL; webhook: a signed POST"
    )
    url: Annotated[str, Field(min_length=1, max_length=2000)] = Field(
        description="address of the receiver; stored encrypted and never shown again"
    )

    def request(self) -> ChannelRequest:
        """Return the request for the service."""
        secret = ChannelSecret(self.url, self.signing_key)
        enabled = True if self.enabled is None else self.enabled
        return ChannelRequest(self.name, self.kind, secret, ChannelSettings(**self.settings()), enabled)


class ChangeChannel(ChannelFields):
    """Changes of a channel. A new signing key requires the url in the same request."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"enabled": False}})

    name: ChannelName | None = None  #: name for people

    @model_validator(mode="after")
    def _something(self) -> "ChangeChannel":
        if not self.model_fields_set:
            raise ValueError("name at least one field to change")
        if self.signing_key is not None and self.url is None:
            raise ValueError("send the url together with the new signing_key")
        return self

    def changes(self) -> dict[str, Any]:
        """Return the changes besides the settings."""
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


class QueuedTest(Shown):
    """A queued test message."""

    delivery_id: str


class DeliveryQuery(PageQuery):
    """Filters of deliveries. All of them must match."""

    state: DeliveryState | None = Field(None, description="only deliveries in this state")
    channel_id: str | None = Field(None, pattern=ID, description="only deliveries through this channel")
    alert_id: str | None = Field(None, pattern=ID, description="only deliveries about this alert")

    def criteria(self) -> DeliveryFilter:
        """Return the filter for the service."""
        return DeliveryFilter(() if self.state is None else (self.state,), self.channel_id, self.alert_id)


class DeliveryList(Shown):
    """Deliveries, newest first."""

    deliveries: list[DeliveryView]
    pagination: Pagination
