"""A built-in rule as Prometheus states it: its name, expression and texts."""

from dataclasses import dataclass, replace

from api.domain.alerts.alert_rule import AlertRule, Clause, Comparison, RuleScope
from tools.prometheus_facts import FACTS, SCOPES

#: Alert names that were given otherwise than `name` does.
_NAMES = {
    "xid_fatal": "GPUFatalXid", "xid_application": "GPUApplicationXid", "ecc_uncorrected": "GPUMemoryErrors",
    "idle_while_leased": "TrainingIdle", "queue_waits": "TrainingWaits", "restarted": "ServiceRestarted",
}  # fmt: skip

#: The spelling of words that are not capitalised, and what names of a scope start with.
_WORDS = {"gpu": "GPU", "gpus": "GPUs", "ecc": "ECC", "pcie": "PCIe", "eta": "ETA", "nan": "NaN", "comfyui": "ComfyUI"}
_STARTS = {RuleScope.GPU: "GPU", RuleScope.TASK: "Training"}

#: Replacements for fields of remedies that only the service can fill in.
_REPLACEMENTS = {
    "{health_action}": "GET /api/v1/gpu/{{ $labels.uuid }}/details lists the suggested actions.",
    "{cause_remedy}": "GET /api/v1/training/{{ $labels.task_id }} returns the cause and the remedy.",
    "{power_limit_previous}": "<the former limit>",
    "{key}": "{{ $labels.key_id }}",
    "{channel_id}": "{{ $labels.channel_id }}",
    "{alert_id}": "<its alert_id>",
    "{task_id}": "{{ $labels.task_id }}",
}


@dataclass(frozen=True, slots=True)
class PrometheusRule:
    """An alerting rule: a built-in rule at one severity."""

    rule: AlertRule
    severity: str
    is_graver: bool  #: the rule for `critical_when`

    @property
    def name(self) -> str:
        """The alert's name: the rule's id in CamelCase, after the kind of its target."""
        rule_id = self.rule.rule_id
        start = _STARTS.get(self.rule.scope, "")
        words = "".join(_WORDS.get(part, part.title()) for part in rule_id.split("_"))
        return _NAMES.get(rule_id) or start + words.removeprefix(start)

    @property
    def when(self) -> tuple[Clause, ...]:
        """The clauses of the condition. The clause that clears comes first: messages show its value."""
        clearing = {clause.metric for clause in self.rule.clear}
        return tuple(sorted(self.rule.when, key=lambda clause: bool(clearing) and clause.metric not in clearing))

    @property
    def expression(self) -> str:
        """The condition. With a clearing level, a firing alert stays active until that level is reached."""
        rule = self.rule
        condition = _join(self.when, rule.any_of)
        if rule.clear:
            firing = f'ALERTS{{alertname="{self.name}", alertstate="firing"}}'
            holds_on = _negated(rule.clear)
            condition = f"({condition}) or (({holds_on}) and on ({', '.join(SCOPES[rule.scope].matched)}) {firing})"
        if rule.critical_when:
            graver = _join(rule.critical_when, any_of=False)
            operator = "and" if self.is_graver else "unless"
            condition = f"({condition}) {operator} on ({', '.join(SCOPES[rule.scope].matched)}) ({graver})"
        return condition

    @property
    def summary(self) -> str:
        """The target, the rule's title and the value of the first metric."""
        subject = SCOPES[self.rule.scope].subject
        # With `or`, the value can be that of any clause.
        shown = None if self.rule.any_of else FACTS[self.when[0].metric].shown
        return f"{subject}: {self.rule.title}" + (f" ({{{{ $value{shown} }}}})" if shown is not None else "")

    @property
    def description(self) -> str:
        """The remedy."""
        text = self.rule.remedy
        for field, other in _REPLACEMENTS.items():
            text = text.replace(field, other)
        return text


def _join(clauses: tuple[Clause, ...], any_of: bool) -> str:
    first, *others = clauses
    text = _clause(first)
    for clause in others:
        text += f" or {_clause(clause)}" if any_of else _with(clause)
    return text


def _with(clause: Clause) -> str:
    fact = FACTS[clause.metric]
    if fact.is_present_only and clause.value == 0:
        return f" unless on ({', '.join(fact.matched)}) ({fact.expression} == 1)"
    return f" and on ({', '.join(fact.matched)}) ({_clause(clause)})"


def _clause(clause: Clause) -> str:
    fact = FACTS[clause.metric]
    if clause.of is None:
        return f"{fact.expression} {clause.compare.value} {_number(clause.value * fact.factor)}"
    other, offset = FACTS[clause.of], clause.value * fact.factor
    more = "" if offset == 0 else f" {'+' if offset > 0 else '-'} {_number(abs(offset))}"
    return f"{fact.expression} {clause.compare.value} {other.expression}{more}"


_OPPOSITE = {
    Comparison(a): Comparison(b)
    for a, b in (("<", ">="), (">=", "<"), (">", "<="), ("<=", ">"), ("==", "!="), ("!=", "=="))
}


def _negated(clauses: tuple[Clause, ...]) -> str:
    return " or ".join(_clause(replace(clause, compare=_OPPOSITE[clause.compare])) for clause in clauses)


def _number(value: float) -> str:
    return f"{value:.12g}"
