"""What requests about alerts, rules, silences and channels may hold, and what their answers look like."""

from datetime import time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from api.models.alert import AlertCounts, AlertFilter, Matcher, ShownState
from api.models.alert_rule import AlertMetric, AlertRule, Clause, RuleScope, Trial
from api.models.alert_view import AlertDetailView, AlertView, ChannelView, RuleView, SilenceView
from api.models.channel import (
    ChannelKind,
    ChannelSecret,
    ChannelSettings,
    DeliveryFilter,
    DeliveryState,
    DeliveryView,
    QuietHours,
    WebhookFormat,
)
from api.models.event import Severity
from api.routes.schemas.common import Envelope, Name, PageQuery, Shown, Time, utc, whole
from api.services.alerts.builtin_rules import parse_clause
from api.services.alerts.channels import ChannelRequest
from api.services.alerts.service import SilenceRequest
from api.utils.masking import mask_secrets
from api.utils.pagination import Pagination
from api.utils.validation import Strict

_DAY = 86_400.0

#: What an id or name in a filter can be.
_ID = r"^[A-Za-z0-9_.\-]{1,64}$"

RuleId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", min_length=1, max_length=64)]
Line = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$"), AfterValidator(mask_secrets)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", min_length=1, max_length=64)]
LabelValue = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Weight = Annotated[Severity, Field(strict=False)]
Lasting = Annotated[float, Field(ge=0, le=7 * _DAY)]
Number = Annotated[int, Field(ge=1, le=10_000), BeforeValidator(whole)]
ChannelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]


def _a_clause(text: str) -> str:
    parse_clause(" ".join(text.split()))
    return " ".join(text.split())


ClauseText = Annotated[
    str,
    Field(max_length=200),
    AfterValidator(_a_clause),
    Field(examples=["temperature_gpu >= temperature_slowdown - 5"]),
]
Clauses = Annotated[list[ClauseText], Field(max_length=10)]


def _clauses(texts: list[str]) -> tuple[Clause, ...]:
    return tuple(parse_clause(text) for text in texts)


class MatcherBody(Strict):
    """A label that must have a value: `gpu_uuid`, `task_id`, `node`, `owner`, and of every alert `rule`, `severity`,
    `scope`.
    """

    model_config = ConfigDict(strict=True)

    label: Label
    value: LabelValue
    is_glob: bool = Field(False, description="the value may hold * for anything")

    def matcher(self) -> Matcher:
        """The matcher as the services take it."""
        return Matcher(self.label, self.value, self.is_glob)


Matchers = Annotated[list[MatcherBody], Field(max_length=20)]


# -- alerts ------------------------------------------------------------------------------------------------------------


class AlertQuery(PageQuery):
    """Which alerts; filters are joined by and."""

    state: ShownState | None = Field(None, description="only in this state")
    severity: Severity | None = Field(None, description="only of this weight")
    rule: str | None = Field(None, pattern=_ID, description="only of this rule, by its id")
    task_id: str | None = Field(None, pattern=_ID, description="only about this training")

    def wanted(self, seen_by: str | None) -> AlertFilter:
        """The filter as the service takes it."""
        states = () if self.state is None else (self.state,)
        return AlertFilter(states, self.severity, self.rule, self.task_id, seen_by)


class Acknowledge(Strict):
    """That somebody knows of it."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"comment": "fan ordered"}})

    until: Time | None = Field(None, strict=False, description="until then; else until it ends or becomes graver")
    comment: Line = Field("", description="for its history")


class AlertList(Shown):
    """Alerts, newest first, and how many are open in all."""

    alerts: list[AlertView]
    counts: AlertCounts
    pagination: Pagination


class AlertListAnswer(Envelope[AlertList]):
    """Alerts."""


class AlertAnswer(Envelope[AlertView]):
    """One alert."""


class AlertDetailAnswer(Envelope[AlertDetailView]):
    """One alert with its history."""


# -- silences ----------------------------------------------------------------------------------------------------------


class MakeSilence(Strict):
    """For how long nobody is told of which alerts."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {
                "matchers": [{"label": "rule", "value": "near_slowdown"}],
                "until": "2026-12-01T08:00:00Z",
                "comment": "new cooling on Tuesday",
            }
        },
    )

    matchers: Annotated[list[MatcherBody], Field(min_length=1, max_length=20, description="all must fit")]
    until: Time = Field(strict=False, description="within 30 days")
    since: Time | None = Field(None, strict=False, description="from then on; now by default")
    comment: Annotated[Line, Field(min_length=1)] = Field(description="why")

    def request(self) -> SilenceRequest:
        """The request as the service takes it."""
        return SilenceRequest(
            tuple(each.matcher() for each in self.matchers),
            utc(self.until),
            self.comment,
            None if self.since is None else utc(self.since),
        )


class SilenceQuery(PageQuery):
    """Which silences."""

    ended: bool = Field(False, description="also those that have ended")


class SilenceList(Shown):
    """Silences, newest first."""

    silences: list[SilenceView]
    pagination: Pagination


class SilenceListAnswer(Envelope[SilenceList]):
    """Silences."""


class SilenceAnswer(Envelope[SilenceView]):
    """One silence."""


# -- rules -------------------------------------------------------------------------------------------------------------


class RuleFields(Strict):
    """What a rule says. Texts may name `{metric}`, `{label}` and `{name}`, which are replaced."""

    model_config = ConfigDict(strict=True)

    title: Annotated[Name, Field(min_length=1)]
    scope: Annotated[RuleScope, Field(strict=False)] = Field(description="what it is held against, one by one")
    when: Annotated[Clauses, Field(min_length=1)] = Field(description="its condition")
    match: Literal["all", "any"] = Field("all", description="how many clauses of `when` must be true")
    for_seconds: Lasting = Field(0.0, description="for how long")
    clear: Clauses = Field(default_factory=list, description="what ends it; by default that `when` is no longer true")
    clear_seconds: Lasting = Field(0.0, description="and for how long")
    severity: Weight = Severity.WARNING
    critical_when: Clauses = Field(default_factory=list, description="it is critical while these are true as well")
    summary: Annotated[Line, Field(min_length=1)] = Field(description="what is told")
    remedy: Line = Field("", description="what to do")
    link: Annotated[str, Field(pattern=r"^https?://[!-~]{1,500}$")] | None = None
    labels: Annotated[dict[Label, LabelValue], Field(max_length=20)] = Field(default_factory=dict)
    enabled: bool = True


class MakeRule(RuleFields):
    """A rule of one's own."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {
                "rule_id": "hot_memory",
                "title": "memory is hot",
                "scope": "gpu",
                "when": ["temperature_memory >= 95"],
                "for_seconds": 300,
                "clear": ["temperature_memory < 90"],
                "summary": "{gpu}: its memory has {temperature_memory} °C.",
            }
        },
    )

    rule_id: RuleId

    def rule(self) -> AlertRule:
        """The rule as the service takes it."""
        return AlertRule(rule_id=self.rule_id, **_rule_values(self.model_dump(exclude={"rule_id"})))


class ChangeRule(Strict):
    """What is to be changed of a rule; of one that is built in only when and how it is told."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"enabled": False}})

    title: Annotated[Name, Field(min_length=1)] | None = None
    when: Annotated[Clauses, Field(min_length=1)] | None = None
    match: Literal["all", "any"] | None = None
    for_seconds: Lasting | None = None
    clear: Clauses | None = None
    clear_seconds: Lasting | None = None
    severity: Weight | None = None
    critical_when: Clauses | None = None
    summary: Annotated[Line, Field(min_length=1)] | None = None
    remedy: Line | None = None
    link: Annotated[str, Field(pattern=r"^https?://[!-~]{1,500}$")] | None = None
    labels: Annotated[dict[Label, LabelValue], Field(max_length=20)] | None = None
    enabled: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> "ChangeRule":
        if not self.model_fields_set:
            raise ValueError("say what is to be changed")
        return self

    def changes(self) -> dict[str, Any]:
        """The changes as the service takes them; null takes a link away and changes nothing else."""
        given = self.model_dump(exclude_unset=True)
        return _rule_values({name: value for name, value in given.items() if value is not None or name == "link"})


def _rule_values(given: dict[str, Any]) -> dict[str, Any]:
    values = dict(given)
    for name in ("when", "clear", "critical_when"):
        if name in values:
            values[name] = _clauses(values[name])
    if "match" in values:
        values["any_of"] = values.pop("match") == "any"
    return values


class RuleQuery(PageQuery):
    """Which rules."""

    scope: RuleScope | None = Field(None, description="only of this scope")
    enabled: bool | None = Field(None, description="only those that are on, or off")


class TryQuery(Strict):
    """Whether a rule is only tried."""

    dry_run: bool = Field(False, description="only say what it would have told within the last 24 h; nothing is kept")


class RuleList(Shown):
    """Rules."""

    rules: list[RuleView]
    pagination: Pagination


class RuleResult(Shown):
    """A rule as it is kept; or what it would have told, when it was only tried."""

    rule: RuleView | None
    trial: Trial | None


class MetricList(Shown):
    """What rules may be about."""

    metrics: list[AlertMetric]


class RuleListAnswer(Envelope[RuleList]):
    """Rules."""


class RuleAnswer(Envelope[RuleView]):
    """One rule."""


class RuleResultAnswer(Envelope[RuleResult]):
    """A rule, or a trial."""


class MetricListAnswer(Envelope[MetricList]):
    """Metrics."""


# -- channels ----------------------------------------------------------------------------------------------------------


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
    after_seconds: Lasting | None = Field(None, description="only what nobody has acknowledged for so long")
    group_wait_seconds: Annotated[float, Field(ge=0, le=3600)] | None = Field(None, description="30 by default")
    critical_wait_seconds: Annotated[float, Field(ge=0, le=3600)] | None = Field(None, description="5 by default")
    per_minute: Number | None = Field(None, description="messages a minute; 6 by default")
    per_hour: Number | None = Field(None, description="messages an hour; 60 by default")
    repeat_critical_seconds: Annotated[float, Field(ge=60, le=30 * _DAY)] | None = Field(
        None, description="how often what is critical is told again; null: never"
    )
    repeat_warning_seconds: Annotated[float, Field(ge=60, le=30 * _DAY)] | None = Field(
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


_SETTINGS = frozenset(ChannelSettings.__slots__)
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
    channel_id: str | None = Field(None, pattern=_ID, description="only through this channel")
    alert_id: str | None = Field(None, pattern=_ID, description="only about this alert")

    def wanted(self) -> DeliveryFilter:
        """The filter as the service takes it."""
        return DeliveryFilter(() if self.state is None else (self.state,), self.channel_id, self.alert_id)


class DeliveryList(Shown):
    """Deliveries, newest first."""

    deliveries: list[DeliveryView]
    pagination: Pagination


class DeliveryListAnswer(Envelope[DeliveryList]):
    """Deliveries."""
