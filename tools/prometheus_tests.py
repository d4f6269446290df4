"""Render promtool tests: each rule stays silent below its bound, fires beyond it after its duration, and clears."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence

from api.domain.alerts.alert_rule import Clause, Comparison, RuleScope
from tools.prometheus_facts import FACTS, SCOPES
from tools.prometheus_rule import PrometheusRule

#: Minutes below the bound, and minutes for which Prometheus uses the last value of a series that has ended.
_BELOW, _LOOKBACK = 5, 5

_INSTANCE = {"job": "diffusion-pipe", "instance": "a:8080"}

#: Distance of a test's value from a bound.
_STEP = 0.5


def _breaching(compare: Comparison, bound: float) -> float:
    return bound + {">": _STEP, "<": -_STEP, "!=": _STEP}.get(compare.value, 0.0)


def _holding(compare: Comparison, bound: float) -> float:
    """Return the value nearest to the bound that does not breach it."""
    return bound + {">=": -_STEP, "<=": _STEP, "==": -1.0}.get(compare.value, 0.0)


#: Values in tests of metrics that other metrics are compared with.
_OTHERS = {
    "temperature_slowdown": 90.0, "power_limit_default": 450.0, "power_limit_previous": 450.0, "pcie_width_best": 16.0,
    "pcie_generation_best": 4.0, "eta_total_first": 36000.0,
}  # fmt: skip


def _bound(clause: Clause) -> float:
    return clause.value + (0.0 if clause.of is None else _OTHERS[clause.of])


class _Values:
    """The values of a rule's metrics in the three phases: below the bound, beyond it, cleared."""

    def __init__(self, each: PrometheusRule) -> None:
        rule = each.rule
        self.phases: dict[str, tuple[float, float, float]] = {}
        first, *others = each.when
        self.phases[first.metric] = (0.0,) * 3
        for clause in others:
            value = (_holding if rule.any_of else _breaching)(clause.compare, _bound(clause))
            if rule.any_of:
                value = next((_breaching(c.compare, _bound(c)) for c in rule.clear if c.metric == clause.metric), value)
            self.phases[clause.metric] = (value,) * 3
        below = _holding(first.compare, _bound(first))
        clear = next((_breaching(c.compare, _bound(c)) for c in rule.clear if c.metric == first.metric), below)
        self.phases[first.metric] = (below, _breaching(first.compare, _bound(first)), clear)
        for clause in rule.critical_when:
            self._add_graver(clause, first, each.is_graver)
        for clause in (*rule.when, *rule.clear, *rule.critical_when):
            if clause.of is not None:
                self.phases.setdefault(clause.of, (_OTHERS[clause.of],) * 3)

    def _add_graver(self, clause: Clause, first: Clause, is_graver: bool) -> None:
        if clause.metric != first.metric:
            value = (_breaching if is_graver else _holding)(clause.compare, _bound(clause))
            self.phases[clause.metric] = (value,) * 3
        elif is_graver:
            below, _, clear = self.phases[first.metric]
            self.phases[first.metric] = (below, _breaching(clause.compare, _bound(clause)), clear)

    def series(self, scope: RuleScope) -> Iterator[tuple[str, list[str]]]:
        """Yield every input series with its values in the three phases."""
        seen: set[str] = set()
        for metric, values in self.phases.items():
            fact = FACTS[metric]
            for name, formula in fact.series.items():
                if name in seen or (fact.is_present_only and not any(values)):
                    continue
                seen.add(name)
                labels = {**_INSTANCE, **SCOPES[fact.scope].labels}
                based = [_evaluate(formula, value * fact.factor) for value in values]
                yield _selector(name, labels), [_show(value, fact.is_present_only) for value in based]


def _evaluate(formula: str, value: float) -> float:
    return float(eval(formula, {"__builtins__": {}}, {"v": value, "float": float}))


def _show(value: float, is_present_only: bool) -> str:
    return "_" if is_present_only and not value else f"{value:.12g}"


def _selector(name: str, labels: Mapping[str, str]) -> str:
    bare, _, given = name.partition("{")
    matchers = [given.rstrip("}")] if given else []
    matchers += [f'{key}="{value}"' for key, value in labels.items()]
    return f"{bare}{{{', '.join(matchers)}}}"


def _lengths(for_seconds: float, clear_seconds: float, window: int) -> tuple[int, int, int]:
    """Return the minutes below the bound, beyond it, and at the clearing level."""
    beyond = math.ceil(for_seconds / 60) + window + 2
    return _BELOW, beyond, math.ceil(clear_seconds / 60) + window + _LOOKBACK + 2


def _phases(values: Sequence[str], lengths: tuple[int, int, int]) -> str:
    # promtool: `1x4` is a value with 4 repetitions (5 samples); `_x4` is a gap of 4 samples.
    counted = zip(values, lengths, strict=True)
    return " ".join(f"{value}x{length if value == '_' else length - 1}" for value, length in counted)


def render_tests(rules: Sequence[PrometheusRule], name: str) -> str:
    """Return the file of tests for the rules in the file of this name."""
    is_main = name == "alerts"
    group = "diffusion-pipe" if is_main else "diffusion-pipe-optional"
    lines = [
        "# Each rule stays silent below its bound and before its duration, fires, and clears:",
        f"# promtool test rules {name}_test.yml",
        f"rule_files: [recording.yml, {name}.yml]",
        "evaluation_interval: 1m",
        f"group_eval_order: [diffusion-pipe-recording, {group}]",
        "tests:",
    ]
    down = [('up{job="diffusion-pipe", instance="a:8080"}', ["1", "0", "1"])]
    expected = {**_INSTANCE, "severity": "critical", "rule": "service_down"}
    texts = ("a:8080: does not answer", "Check the service and its log; trainings continue without it.")
    if is_main:
        lines += _test("ServiceDown critical", "ServiceDown", 60.0, _lengths(60, 0, 0), down, expected, texts)
    for each in rules:
        values = _Values(each)
        first = each.when[0]
        fact = FACTS[first.metric]
        labels = {**_INSTANCE, **SCOPES[fact.scope].labels, **_given_labels(fact.expression)}
        expected = {**labels, "severity": each.severity, "rule": each.rule.rule_id}
        shown = values.phases[first.metric][1] * fact.factor
        if fact.expression.startswith("gpu:nvidia_smi_clocks"):
            shown = 1.0
        texts = (_fill(each.summary, labels, shown), _fill(each.description, labels, shown))
        series = list(values.series(each.rule.scope))
        window = max([0, *(int(minutes) for minutes in re.findall(r":avg(\d+)m", each.expression))])
        lengths = _lengths(each.rule.for_seconds, each.rule.clear_seconds, window)
        name = f"{each.name} {each.severity}"
        lines += _test(name, each.name, each.rule.for_seconds, lengths, series, expected, texts)
    return "\n".join(lines) + "\n"


def _given_labels(expression: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="(\w+)"', expression))


def _test(
    name: str,
    alert: str,
    for_seconds: float,
    lengths: tuple[int, int, int],
    series: Sequence[tuple[str, Sequence[str]]],
    labels: Mapping[str, str],
    texts: tuple[str, str],
) -> Iterator[str]:
    yield f"  - name: {name}\n    interval: 1m\n    input_series:"
    for selector, values in series:
        yield f"      - series: '{selector}'\n        values: '{_phases(values, lengths)}'"
    yield "    alert_rule_test:"
    quiet = [_BELOW - 1] if for_seconds < 120 else [_BELOW - 1, _BELOW + math.ceil(for_seconds / 60) - 1]
    for minute in quiet:
        yield f"      - {{eval_time: {minute}m, alertname: {alert}, exp_alerts: []}}"
    yield f"      - eval_time: {lengths[0] + lengths[1] - 1}m\n        alertname: {alert}\n        exp_alerts:"
    yield f"          - exp_labels: {json.dumps(dict(labels))}"
    summary, description = (json.dumps(text) for text in texts)
    yield f"            exp_annotations:\n              summary: {summary}\n              description: {description}"
    yield f"      - {{eval_time: {sum(lengths) - 1}m, alertname: {alert}, exp_alerts: []}}"


def _fill(text: str, labels: Mapping[str, str], value: float) -> str:
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: labels[match[1]], text)
    return re.sub(r"\{\{ \$value \| (\w+) \}\}", lambda match: _HUMAN[match[1]](value), text)


def _prefixed(value: float, base: float, prefixes: str, ending: str = "") -> str:
    for prefix in ("", *prefixes):
        if abs(value) < base or prefix == prefixes[-1]:
            return f"{value:.4g}{prefix}{ending if prefix else ''}"
        value /= base
    raise AssertionError("unreachable: the last prefix has no bound")


def _humanize(value: float) -> str:
    if value == 0 or abs(value) >= 1:
        return _prefixed(value, 1000.0, "kMGT")
    return f"{value * 1000:.4g}m"


def _humanize_duration(value: float) -> str:
    if abs(value) < 1:
        return _humanize(value) + "s"
    days, rest = divmod(int(value), 86_400)
    hours, minutes, seconds = rest // 3600, rest // 60 % 60, rest % 60
    if days or hours:
        return (f"{days}d " if days else "") + f"{hours}h {minutes}m {seconds}s"
    return f"{minutes}m {seconds}s" if minutes else f"{value:.4g}s"


_HUMAN = {
    "humanize": _humanize,
    "humanize1024": lambda value: _prefixed(value, 1024.0, "kMGT", "i"),
    "humanizePercentage": lambda value: f"{value * 100:.4g}%",
    "humanizeDuration": _humanize_duration,
}
