"""Evaluate rules on facts.

Facts are columns of numbers, in which NaN means unknown. Pure functions.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.domain.alerts.alert import IS_OVER, NOT_RUNNING, AlertTarget
from api.domain.alerts.alert_rule import AlertRule, Clause, Comparison, RuleScope
from api.domain.machines.gpu_event import Severity
from api.domain.reason import dump_value
from api.util.text.formatting import format_long_duration

UNKNOWN = math.nan

_PLACEHOLDER = re.compile(r"\{(\w+)(?::(seconds|hours|days))?\}")
_SECONDS = {"seconds": 1.0, "hours": 3600.0, "days": 86_400.0}


@dataclass(frozen=True, slots=True)
class FactTable:
    """The known facts of every target of one scope at one time.

    If `is_complete` is False, a missing target may still exist. A metric without a column is unknown for every target.
    """

    scope: RuleScope
    targets: tuple[AlertTarget, ...]
    columns: Mapping[str, Sequence[float]]
    is_complete: bool = True
    indexes: Mapping[str, int] = field(init=False)
    _bounds: dict[str, tuple[float, float]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "indexes", {target.key: index for index, target in enumerate(self.targets)})

    def value(self, metric: str, index: int) -> float:
        """Return a metric of the target at this index; NaN if it is unknown."""
        column = self.columns.get(metric)
        return UNKNOWN if column is None else column[index]

    def bounds(self, metric: str) -> tuple[float, float]:
        """Return the lowest and the highest known value of a metric; (inf, -inf) if none is known."""
        found = self._bounds.get(metric)
        if found is None:
            known = [value for value in self.columns[metric] if not math.isnan(value)]
            found = self._bounds[metric] = (min(known), max(known)) if known else (math.inf, -math.inf)
        return found


def find_breaching(rule: AlertRule, table: FactTable) -> Sequence[int]:
    """Return the indexes, ascending, of the targets for which the rule's condition is known to be true."""
    if rule.any_of:
        return sorted({index for clause in rule.when for index in _satisfying(clause, table)})
    first, *others = rule.when
    found: Sequence[int] = _satisfying(first, table)
    for clause in others:
        if not found:
            break
        found = [index for index in found if holds(clause, table, index)]
    return found


def _satisfying(clause: Clause, table: FactTable) -> Sequence[int]:
    column = table.columns.get(clause.metric)
    if column is None:
        return ()
    bound = clause.value
    if clause.of is None:
        # Most rules match no target: two comparisons decide that for a whole column.
        return _compare_column(clause.compare, column, bound, *table.bounds(clause.metric))
    other = table.columns.get(clause.of)
    if other is None:
        return ()
    test = _TESTS[clause.compare]
    return [index for index, pair in enumerate(zip(column, other, strict=True)) if test(pair[0], pair[1] + bound)]


def _compare_column(
    compare: Comparison, column: Sequence[float], bound: float, lowest: float, highest: float
) -> Sequence[int]:
    # Written out, since a call for each value would take five times as long. Unknown values are NaN, for which only
    # "not equal" is true.
    if compare is Comparison.ABOVE:
        return [index for index, value in enumerate(column) if value > bound] if highest > bound else ()
    if compare is Comparison.AT_LEAST:
        return [index for index, value in enumerate(column) if value >= bound] if highest >= bound else ()
    if compare is Comparison.BELOW:
        return [index for index, value in enumerate(column) if value < bound] if lowest < bound else ()
    if compare is Comparison.AT_MOST:
        return [index for index, value in enumerate(column) if value <= bound] if lowest <= bound else ()
    if compare is Comparison.EQUAL:
        found = lowest <= bound <= highest
        return [index for index, value in enumerate(column) if value == bound] if found else ()
    return [index for index, value in enumerate(column) if value != bound and not math.isnan(value)]


_TESTS: Mapping[Comparison, Callable[[float, float], bool]] = {
    Comparison.ABOVE: lambda value, bound: value > bound,
    Comparison.AT_LEAST: lambda value, bound: value >= bound,
    Comparison.BELOW: lambda value, bound: value < bound,
    Comparison.AT_MOST: lambda value, bound: value <= bound,
    Comparison.EQUAL: lambda value, bound: value == bound,
    Comparison.OTHER: lambda value, bound: value != bound and not math.isnan(value) and not math.isnan(bound),
}


def holds(clause: Clause, table: FactTable, index: int) -> bool | None:
    """Return whether a clause is true for the target at this index; None if unknown."""
    value = table.value(clause.metric, index)
    bound = clause.value if clause.of is None else table.value(clause.of, index) + clause.value
    if math.isnan(value) or math.isnan(bound):
        return None
    return bool(_TESTS[clause.compare](value, bound))


def all_hold(clauses: Iterable[Clause], table: FactTable, index: int) -> bool | None:
    """Return whether all of these clauses are true; None if that depends on unknown values."""
    results = [holds(clause, table, index) for clause in clauses]
    if False in results:
        return False
    return None if None in results else True


def is_breaching(rule: AlertRule, table: FactTable, index: int) -> bool | None:
    """Return whether the rule's condition is true for one target; None if unknown."""
    if not rule.any_of:
        return all_hold(rule.when, table, index)
    results = [holds(clause, table, index) for clause in rule.when]
    if True in results:
        return True
    return None if None in results else False


def is_clear(rule: AlertRule, table: FactTable, index: int) -> bool | None:
    """Return whether the condition that ends the alert is true for one target; None if unknown."""
    if rule.clear:
        return all_hold(rule.clear, table, index)
    breaching = is_breaching(rule, table, index)
    return None if breaching is None else not breaching


def fill(text: str, table: FactTable, index: int) -> str:
    """Return a text of a rule with its placeholders replaced.

    `{name}` is replaced by the word, label or metric of that name. `{name:seconds}`, `{name:hours}` and `{name:days}`
    show a metric of that unit as a duration. Nothing is evaluated as code, since users write these texts.
    """
    target = table.targets[index]

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        for known in (target.summary_values, target.labels):
            if name in known:
                return known[name]
        if name not in table.columns:
            return "unknown"
        value = table.value(name, index)
        if match[2] is None or not math.isfinite(value):
            return show_number(value)
        return format_long_duration(value * _SECONDS[match[2]])

    return _PLACEHOLDER.sub(replace, text)


def values_of(rule: AlertRule, table: FactTable, index: int) -> dict[str, Any] | None:
    """Return the values in summary and remedy of a built-in rule by placeholder; None for other rules.

    A value is text, a number, None if it is unknown, or a coded message. Durations are in seconds.
    """
    if not rule.is_builtin:
        return None
    target, found = table.targets[index], {}
    for match in _PLACEHOLDER.finditer(rule.summary + rule.remedy):
        name = match[1]
        texts = [known[name] for known in (target.coded_values, target.summary_values, target.labels) if name in known]
        value = table.value(name, index) * _SECONDS.get(match[2], 1.0)
        found[name] = dump_value(texts[0]) if texts else value if math.isfinite(value) else None
    return found


def describe_end(rule: AlertRule, table: FactTable, index: int) -> str:
    """Return the reason why an alert ended.

    If a task stopped, the rule's own text, which announces a recovery, would be wrong.
    """
    is_about_running = rule.is_builtin and rule.scope is RuleScope.TASK and "queued_seconds" not in rule.metrics
    if is_about_running and table.value("running", index) == 0:
        return fill(NOT_RUNNING, table, index)
    return fill(rule.resolved, table, index) or IS_OVER


def show_number(value: float) -> str:
    """Return a number for people, with its significant digits."""
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "never" if value > 0 else "-∞"
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def severity_of(rule: AlertRule, table: FactTable, index: int) -> Severity:
    """Return the current severity of an alert of this rule."""
    if rule.critical_when and all_hold(rule.critical_when, table, index):
        return Severity.CRITICAL
    return rule.severity


def value_of(rule: AlertRule, table: FactTable, index: int) -> float | None:
    """Return the value of the rule's first metric; None if it is not finite."""
    value = table.value(rule.when[0].metric, index)
    return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124 - NaN


def worse(rule: AlertRule, value: float, peak: float) -> float:
    """Return the value that is further beyond the rule's threshold."""
    return min(value, peak) if rule.when[0].compare.value.startswith("<") else max(value, peak)
