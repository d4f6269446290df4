"""What requests about rules may hold, and what their answers look like."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from api.alerts.schemas import Label, LabelValue, Lasting, Line, Weight
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
    """What a rule says. Texts may name `{metric}`, `{label}` and `{name}`, which are replaced."""

    model_config = ConfigDict(strict=True)

    title: Annotated[Name, Field(min_length=1)]
    scope: Annotated[RuleScope, Field(strict=False)] = Field(description="what it is held against, one by one")
    metric: Metric = Field(description="one of its scope, of GET /alerts/metrics")
    comparison: Bound = Field(description="on which side of the value it must be")
    value: Number
    for_seconds: Lasting = Field(0.0, description="for how long")
    clear_seconds: Lasting = Field(0.0, description="for how long it must be over")
    severity: Weight = Severity.WARNING
    summary: Annotated[Line, Field(min_length=1)] = Field(description="what is told")
    remedy: Line = Field("", description="what to do")
    link: Annotated[str, Field(pattern=r"^https?://[!-~]{1,500}$")] | None = None
    labels: Annotated[dict[Label, LabelValue], Field(max_length=20)] = Field(default_factory=dict)
    enabled: bool = True
    actions: Actions = Field(default_factory=list, description="what is done when it fires, besides telling")


class MakeRule(RuleFields):
    """A rule of one's own."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {
                "rule_id": "hot_memory",
                "title": "memory is hot",
                "scope": "gpu",
                "metric": "temperature_memory",
                "comparison": "at_least",
                "value": 95,
                "for_seconds": 300,
                "summary": "{gpu}: its memory has {temperature_memory} °C.",
            }
        },
    )

    rule_id: RuleId

    def rule(self) -> AlertRule:
        """The rule as the service takes it."""
        given = _rule_values(self.model_dump())
        condition = Clause(given.pop("metric"), given.pop("comparison"), given.pop("value"))
        return AlertRule(when=(condition,), **given)


class ChangeRule(Strict):
    """What is to be changed of a rule; of one that is built in only when and how it is told."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"enabled": False}})

    title: Annotated[Name, Field(min_length=1)] | None = None
    metric: Metric | None = None
    comparison: Bound | None = None
    value: Number | None = Field(None, description="of one that is built in, its threshold")
    for_seconds: Lasting | None = None
    clear_seconds: Lasting | None = None
    severity: Weight | None = None
    summary: Annotated[Line, Field(min_length=1)] | None = None
    remedy: Line | None = None
    link: Annotated[str, Field(pattern=r"^https?://[!-~]{1,500}$")] | None = None
    labels: Annotated[dict[Label, LabelValue], Field(max_length=20)] | None = None
    enabled: bool | None = None
    actions: Actions | None = None

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
    if "actions" in values:
        values["actions"] = tuple(values["actions"])
    if "comparison" in values:
        values["comparison"] = Comparison[values["comparison"].upper()]
    return values


class RuleQuery(PageQuery):
    """Says which rules are wanted."""

    scope: RuleScope | None = Field(None, description="only of this scope")
    enabled: bool | None = Field(None, description="only those that are on, or off")


class RuleList(Shown):
    """Rules."""

    rules: list[RuleView]
    pagination: Pagination


class RuleResult(Shown):
    """A rule as it is stored."""

    rule: RuleView


class MetricList(Shown):
    """What rules may be about."""

    metrics: list[AlertMetric]


class RuleListAnswer(Envelope[RuleList]):
    """Rules."""


class RuleAnswer(Envelope[RuleView]):
    """One rule."""


class RuleResultAnswer(Envelope[RuleResult]):
    """A rule."""


class MetricListAnswer(Envelope[MetricList]):
    """Metrics."""
