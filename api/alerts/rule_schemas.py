"""Request and response schemas of rules."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from api.alerts.schemas import Label, LabelValue, Line, RuleSeconds, SeverityName
from api.alerts.views import RuleView
from api.domain.alert_action import ActionKind
from api.domain.alert_rule import AlertMetric, AlertRule, Clause, Comparison, RuleScope
from api.domain.event import Severity
from api.util.pagination import Pagination
from api.util.validation import Strict
from api.web.schemas import Envelope, Name, PageQuery, Shown

RuleId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", min_length=1, max_length=64)]


Metric = Annotated[str, Field(pattern=r"^\w+$", max_length=64)]
Bound = Literal["above", "at_least", "below", "at_most"]
Number = Annotated[float, Field(allow_inf_nan=False)]
Actions = Annotated[list[Annotated[ActionKind, Field(strict=False)]], Field(max_length=5)]


class RuleFields(Strict):
    """The fields of a rule. In texts, `{metric}`, `{label}` and `{name}` are replaced by their values."""

    model_config = ConfigDict(strict=True)

    title: Annotated[Name, Field(min_length=1)]
    scope: Annotated[RuleScope, Field(strict=False)] = Field(description="what kind of target the rule is evaluated on")
    metric: Metric = Field(description="a metric of this scope; GET /alerts/metrics lists them")
    comparison: Bound = Field(description="how the metric is compared with the value")
    value: Number
    for_seconds: RuleSeconds = Field(
        0.0, description="seconds for which the condition must be true before the alert fires"
    )
    clear_seconds: RuleSeconds = Field(
        0.0, description="seconds for which the condition must be false before the alert ends"
    )
    severity: SeverityName = Severity.WARNING
    summary: Annotated[Line, Field(min_length=1)] = Field(description="text of the notification")
    remedy: Line = Field("", description="what to do")
    link: Annotated[str, Field(pattern=r"^https?://[!-~]{1,500}$")] | None = None
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

    title: Annotated[Name, Field(min_length=1)] | None = None
    metric: Metric | None = None
    comparison: Bound | None = None
    value: Number | None = Field(None, description="the threshold")
    for_seconds: RuleSeconds | None = None
    clear_seconds: RuleSeconds | None = None
    severity: SeverityName | None = None
    summary: Annotated[Line, Field(min_length=1)] | None = None
    remedy: Line | None = None
    link: Annotated[str, Field(pattern=r"^https?://[!-~]{1,500}$")] | None = None
    labels: Annotated[dict[Label, LabelValue], Field(max_length=20)] | None = None
    enabled: bool | None = None
    actions: Actions | None = None

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

    rule: RuleView


class MetricList(Shown):
    """The metrics that rules can use."""

    metrics: list[AlertMetric]


class RuleListAnswer(Envelope[RuleList]):
    """A page of rules."""


class RuleAnswer(Envelope[RuleView]):
    """One rule."""


class RuleResultAnswer(Envelope[RuleResult]):
    """A rule as stored."""


class MetricListAnswer(Envelope[MetricList]):
    """The metrics that rules can use."""
