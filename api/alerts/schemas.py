"""Request and response schemas of alerts and silences, and types that other schemas of alerts share."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from api.alerts.service import SilenceRequest
from api.alerts.views import AlertView, RuleView, SilenceView
from api.domain.alerts.alert import AlertCounts, AlertFilter, Matcher, ShownState
from api.domain.alerts.alert_action import ActionKind
from api.domain.alerts.alert_rule import AlertMetric, AlertRule, Clause, Comparison, RuleScope
from api.domain.machines.gpu_event import Severity
from api.util.http.pagination import Pagination
from api.util.http.validation import Strict
from api.util.text.masking import mask_secrets
from api.web.schemas import Duration, Name, PageQuery, Shown, Time, moment, utc

#: Seconds in a day.
DAY = 86_400.0

#: The form of an id or name in a filter.
ID = r"^[A-Za-z0-9_.\-]{1,64}$"

Line = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$"), AfterValidator(mask_secrets)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", min_length=1, max_length=64)]
LabelValue = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
SeverityName = Annotated[Severity, Field(strict=False)]
RuleSeconds = Annotated[float, Field(ge=0, le=7 * DAY)]


class MatcherBody(Strict):
    """A label that must have a value.

    Labels are `gpu_uuid`, `task_id`, `node` and `owner`, and for every alert `rule`, `severity` and `scope`.
    """

    model_config = ConfigDict(strict=True)

    label: Label  #: name of the label
    value: LabelValue  #: value that the label must have
    is_glob: bool = Field(False, description="whether * in the value matches any text")

    def matcher(self) -> Matcher:
        """Return the matcher for the services."""
        return Matcher(self.label, self.value, self.is_glob)


Matchers = Annotated[list[MatcherBody], Field(max_length=20)]


# -- alerts ------------------------------------------------------------------------------------------------------------


class AlertQuery(PageQuery):
    """Filters of alerts. All of them must match."""

    state: ShownState | None = Field(None, description="only alerts in this state")
    severity: Severity | None = Field(None, description="only alerts of this severity")
    rule: str | None = Field(None, pattern=ID, description="only alerts of the rule with this id")
    task_id: str | None = Field(None, pattern=ID, description="only alerts about this training")
    gpu_uuid: str | None = Field(None, pattern=ID, description="only alerts about this GPU")
    open: bool | None = Field(None, description="only alerts that have not ended, or only those that have")
    since: Time | Duration | None = Field(
        None, description="only alerts that had not ended by then: a time, or how long ago"
    )
    until: Time | None = Field(None, description="only alerts that had started by then")

    def criteria(self, seen_by: str | None, now: datetime) -> AlertFilter:
        """Return the filter for the service."""
        return AlertFilter(
            () if self.state is None else (self.state,),
            self.severity,
            self.rule,
            self.task_id,
            seen_by,
            self.gpu_uuid,
            self.open,
            None if self.since is None else moment(self.since, now),
            None if self.until is None else utc(self.until),
        )


class Acknowledge(Strict):
    """An acknowledgement of an alert."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"comment": "fan ordered"}})

    until: Time | None = Field(
        None,
        strict=False,
        description="end of the acknowledgement; by default it lasts until the alert ends or becomes more severe",
    )
    comment: Line = Field("", description="comment for the alert's history")


class AlertList(Shown):
    """A page of alerts, newest first, and the numbers of open alerts."""

    alerts: list[AlertView]
    counts: AlertCounts  #: active alerts by state
    pagination: Pagination


# -- silences ----------------------------------------------------------------------------------------------------------


class CreateSilence(Strict):
    """A new silence: the alerts and the time for which no notifications are sent."""

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

    matchers: Annotated[list[MatcherBody], Field(min_length=1, max_length=20, description="all must match")]
    until: Time = Field(strict=False, description="end of the silence, at most 30 days after its start")
    since: Time | None = Field(None, strict=False, description="start of the silence; now by default")
    comment: Annotated[Line, Field(min_length=1)] = Field(description="reason of the silence")

    def request(self) -> SilenceRequest:
        """Return the request for the service."""
        return SilenceRequest(
            tuple(each.matcher() for each in self.matchers),
            utc(self.until),
            self.comment,
            None if self.since is None else utc(self.since),
        )


class SilenceQuery(PageQuery):
    """Filters of silences."""

    ended: bool = Field(False, description="also silences that have ended")


class SilenceList(Shown):
    """Silences, newest first."""

    silences: list[SilenceView]
    pagination: Pagination


RuleId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", min_length=1, max_length=64)]


Metric = Annotated[str, Field(pattern=r"^\w+$", max_length=64)]
Bound = Literal["above", "at_least", "below", "at_most"]
Number = Annotated[float, Field(allow_inf_nan=False)]
Actions = Annotated[list[Annotated[ActionKind, Field(strict=False)]], Field(max_length=5)]


class RuleFields(Strict):
    """The fields of a rule. In texts, `{metric}`, `{label}` and `{name}` are replaced by their values."""

    model_config = ConfigDict(strict=True)

    title: Annotated[Name, Field(min_length=1)]  #: short name of the problem
    scope: Annotated[RuleScope, Field(strict=False)] = Field(description="what kind of target the rule is evaluated on")
    metric: Metric = Field(description="a metric of this scope; GET /alerts/metrics lists them")
    comparison: Bound = Field(description="how the metric is compared with the value")
    value: Number  #: the threshold
    for_seconds: RuleSeconds = Field(
        0.0, description="seconds for which the condition must be true before the alert fires"
    )
    clear_seconds: RuleSeconds = Field(
        0.0, description="seconds for which the condition must be false before the alert ends"
    )
    severity: SeverityName = Severity.WARNING
    summary: Annotated[Line, Field(min_length=1)] = Field(description="text of the notification")
    remedy: Line = Field("", description="what to do")
    link: Annotated[str, Field(pattern=r"^https?://[!-~]{1,500}$")] | None = None  #: page with more
    #: labels of its alerts besides the usual ones
    labels: Annotated[dict[Label, LabelValue], Field(max_length=20)] = Field(default_factory=dict)
    enabled: bool = True
    actions: Actions = Field(default_factory=list, description="what is done when it fires, besides notifying")


class CreateRule(RuleFields):
    """A new custom rule."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {
                "rule_id": "hot_memory",
                "title": "GPU memory too hot",
                "scope": "gpu",
                "metric": "temperature_memory",
                "comparison": "at_least",
                "value": 95,
                "for_seconds": 300,
                "summary": "The memory of {gpu} is at {temperature_memory} °C.",
            }
        },
    )

    rule_id: RuleId

    def rule(self) -> AlertRule:
        """Return the rule for the service."""
        values = _rule_values(self.model_dump())
        condition = Clause(values.pop("metric"), values.pop("comparison"), values.pop("value"))
        return AlertRule(when=(condition,), **values)


class ChangeRule(Strict):
    """Changes of a rule. Only some fields of a built-in rule can be changed."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"enabled": False}})

    title: Annotated[Name, Field(min_length=1)] | None = None  #: short name of the problem
    metric: Metric | None = None  #: one of `GET /alerts/metrics`
    comparison: Bound | None = None  #: how the metric is compared with `value`
    value: Number | None = Field(None, description="the threshold")
    for_seconds: RuleSeconds | None = None  #: how long the condition must be true
    clear_seconds: RuleSeconds | None = None  #: how long it must be false until the alert ends
    severity: SeverityName | None = None  #: how urgent its alerts are
    #: text of its alerts; may contain metrics and labels in braces
    summary: Annotated[Line, Field(min_length=1)] | None = None
    remedy: Line | None = None  #: what to do

    #: page with more; null removes it
    link: Annotated[str, Field(pattern=r"^https?://[!-~]{1,500}$")] | None = None
    #: labels of its alerts besides the usual ones
    labels: Annotated[dict[Label, LabelValue], Field(max_length=20)] | None = None
    enabled: bool | None = None  #: whether it is evaluated
    actions: Actions | None = None  #: what is done when it fires

    @model_validator(mode="after")
    def _something(self) -> "ChangeRule":
        if not self.model_fields_set:
            raise ValueError("name at least one field to change")
        return self

    def changes(self) -> dict[str, Any]:
        """Return the changes for the service. A null link removes the link; other nulls change nothing."""
        values = self.model_dump(exclude_unset=True)
        return _rule_values({name: value for name, value in values.items() if value is not None or name == "link"})


def _rule_values(fields: dict[str, Any]) -> dict[str, Any]:
    values = dict(fields)
    if "actions" in values:
        values["actions"] = tuple(values["actions"])
    if "comparison" in values:
        values["comparison"] = Comparison[values["comparison"].upper()]
    return values


class RuleQuery(PageQuery):
    """Filters of rules. All of them must match."""

    scope: RuleScope | None = Field(None, description="only rules of this scope")
    enabled: bool | None = Field(None, description="only enabled rules, or only disabled ones")


class RuleList(Shown):
    """A page of rules."""

    rules: list[RuleView]
    pagination: Pagination


class RuleResult(Shown):
    """A rule as stored."""

    rule: RuleView  #: the rule after the change


class MetricList(Shown):
    """The metrics that rules can use."""

    metrics: list[AlertMetric]  #: all metrics that rules may use
