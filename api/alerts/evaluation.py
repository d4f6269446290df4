"""Holds rules against facts: columns of numbers, in which NaN is what nobody knows. Pure functions."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from api.domain.alert import IS_OVER, NOT_RUNNING, AlertTarget
from api.domain.alert_rule import AlertRule, Clause, Comparison, RuleScope
from api.domain.event import Severity
from api.util.formatting import say_duration

UNKNOWN = math.nan

_PLACE = re.compile(r"\{(\w+)(?::(seconds|hours|days))?\}")
_SECONDS = {"seconds": 1.0, "hours": 3600.0, "days": 86_400.0}


@dataclass(frozen=True, slots=True)
class FactTable:
    """What is known of everything of one scope at one moment.

    `is_complete` False: what is missing may still be there. A metric that has no column is unknown of everything.
    """

    scope: RuleScope
    targets: tuple[AlertTarget, ...]
    columns: Mapping[str, Sequence[float]]
    is_complete: bool = True
    places: Mapping[str, int] = field(init=False)
    _bounds: dict[str, tuple[float, float]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", {target.key: place for place, target in enumerate(self.targets)})

    def value(self, metric: str, place: int) -> float:
        """A metric of the target at this place; NaN when it is unknown."""
        column = self.columns.get(metric)
        return UNKNOWN if column is None else column[place]

    def bounds(self, metric: str) -> tuple[float, float]:
        """The lowest and the highest that is known of a metric; the wrong way round when nothing is."""
        found = self._bounds.get(metric)
        if found is None:
            known = [value for value in self.columns[metric] if not math.isnan(value)]
            found = self._bounds[metric] = (min(known), max(known)) if known else (math.inf, -math.inf)
        return found


def find_breaching(rule: AlertRule, table: FactTable) -> Sequence[int]:
    """The places of the targets of which the rule's condition is known to be true, ascending."""
    if rule.any_of:
        return sorted({place for clause in rule.when for place in _satisfying(clause, table)})
    first, *others = rule.when
    found: Sequence[int] = _satisfying(first, table)
    for clause in others:
        if not found:
            break
        found = [place for place in found if holds(clause, table, place)]
    return found


def _satisfying(clause: Clause, table: FactTable) -> Sequence[int]:
    column = table.columns.get(clause.metric)
    if column is None:
        return ()
    bound = clause.value
    if clause.of is None:
        # Most rules are true of nothing: two comparisons tell so for a whole column.
        return _above_or_below(clause.compare, column, bound, *table.bounds(clause.metric))
    other = table.columns.get(clause.of)
    if other is None:
        return ()
    test = _TESTS[clause.compare]
    return [place for place, pair in enumerate(zip(column, other, strict=True)) if test(pair[0], pair[1] + bound)]


def _above_or_below(
    compare: Comparison, column: Sequence[float], bound: float, lowest: float, highest: float
) -> Sequence[int]:
    # Written out, since a call for each value would cost five times as much. What is unknown is NaN, of which no
    # comparison but "other than" is true.
    if compare is Comparison.ABOVE:
        return [place for place, value in enumerate(column) if value > bound] if highest > bound else ()
    if compare is Comparison.AT_LEAST:
        return [place for place, value in enumerate(column) if value >= bound] if highest >= bound else ()
    if compare is Comparison.BELOW:
        return [place for place, value in enumerate(column) if value < bound] if lowest < bound else ()
    if compare is Comparison.AT_MOST:
        return [place for place, value in enumerate(column) if value <= bound] if lowest <= bound else ()
    if compare is Comparison.EQUAL:
        found = lowest <= bound <= highest
        return [place for place, value in enumerate(column) if value == bound] if found else ()
    return [place for place, value in enumerate(column) if value != bound and not math.isnan(value)]


_TESTS: Mapping[Comparison, Callable[[float, float], bool]] = {
    Comparison.ABOVE: lambda value, bound: value > bound,
    Comparison.AT_LEAST: lambda value, bound: value >= bound,
    Comparison.BELOW: lambda value, bound: value < bound,
    Comparison.AT_MOST: lambda value, bound: value <= bound,
    Comparison.EQUAL: lambda value, bound: value == bound,
    Comparison.OTHER: lambda value, bound: value != bound and not math.isnan(value) and not math.isnan(bound),
}


def holds(clause: Clause, table: FactTable, place: int) -> bool | None:
    """Whether a clause is true of the target at this place; None when nobody knows."""
    value = table.value(clause.metric, place)
    bound = clause.value if clause.of is None else table.value(clause.of, place) + clause.value
    if math.isnan(value) or math.isnan(bound):
        return None
    return bool(_TESTS[clause.compare](value, bound))


def all_hold(clauses: Iterable[Clause], table: FactTable, place: int) -> bool | None:
    """Whether all of these are true; None when that depends on what nobody knows."""
    answers = [holds(clause, table, place) for clause in clauses]
    if False in answers:
        return False
    return None if None in answers else True


def is_breaching(rule: AlertRule, table: FactTable, place: int) -> bool | None:
    """Whether the rule's condition is true of one target; None when nobody knows."""
    if not rule.any_of:
        return all_hold(rule.when, table, place)
    answers = [holds(clause, table, place) for clause in rule.when]
    if True in answers:
        return True
    return None if None in answers else False


def is_clear(rule: AlertRule, table: FactTable, place: int) -> bool | None:
    """Whether what ends the alert is true of one target; None when nobody knows."""
    if rule.clear:
        return all_hold(rule.clear, table, place)
    breaching = is_breaching(rule, table, place)
    return None if breaching is None else not breaching


def fill(text: str, table: FactTable, place: int) -> str:
    """Return a text of a rule with each `{name}` replaced by the label, word or metric of that name. `{name:seconds}`,
    `{name:hours}` and `{name:days}` show a metric of that unit as a duration in words. Nothing is evaluated: texts come
    from people.
    """
    target = table.targets[place]

    def say(match: re.Match[str]) -> str:
        name = match[1]
        for known in (target.words, target.labels):
            if name in known:
                return known[name]
        if name not in table.columns:
            return "unknown"
        value = table.value(name, place)
        if match[2] is None or not math.isfinite(value):
            return show_number(value)
        return say_duration(value * _SECONDS[match[2]])

    return _PLACE.sub(say, text)


def say_over(rule: AlertRule, table: FactTable, place: int) -> str:
    """Return why an alert ended. An end because the task has stopped is not the good news that its rule words."""
    is_about_running = rule.is_builtin and rule.scope is RuleScope.TASK and "queued_seconds" not in rule.metrics
    if is_about_running and table.value("running", place) == 0:
        return fill(NOT_RUNNING, table, place)
    return fill(rule.resolved, table, place) or IS_OVER


def show_number(value: float) -> str:
    """A number for people: with as many digits as matter."""
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "never" if value > 0 else "-∞"
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def severity_of(rule: AlertRule, table: FactTable, place: int) -> Severity:
    """Return how grave an alert of this rule is now."""
    if rule.critical_when and all_hold(rule.critical_when, table, place):
        return Severity.CRITICAL
    return rule.severity


def value_of(rule: AlertRule, table: FactTable, place: int) -> float | None:
    """Return the value of the rule's first metric; None where it is not a finite number."""
    value = table.value(rule.when[0].metric, place)
    return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124 - NaN


def worse(rule: AlertRule, value: float, peak: float) -> float:
    """Return the value that is further beyond the rule's bound."""
    return min(value, peak) if rule.when[0].compare.value.startswith("<") else max(value, peak)
