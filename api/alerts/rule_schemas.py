"""What requests about rules may hold, and what their answers look like."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from api.alerts.builtin_rules import parse_clause
from api.alerts.schemas import Label, LabelValue, Lasting, Line, Weight
from api.alerts.views import RuleView
from api.domain.alert_action import ActionKind
from api.domain.alert_rule import AlertMetric, AlertRule, Clause, RuleScope
from api.domain.event import Severity
from api.util.pagination import Pagination
from api.util.validation import Strict
from api.web.schemas import Envelope, Name, PageQuery, Shown

RuleId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", min_length=1, max_length=64)]


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


Actions = Annotated[list[Annotated[ActionKind, Field(strict=False)]], Field(max_length=5)]


def _clauses(texts: list[str]) -> tuple[Clause, ...]:
    return tuple(parse_clause(text) for text in texts)


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
    for name in ("when", "clear", "critical_when"):
        if name in values:
            values[name] = _clauses(values[name])
    if "actions" in values:
        values["actions"] = tuple(values["actions"])
    if "match" in values:
        values["any_of"] = values.pop("match") == "any"
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
