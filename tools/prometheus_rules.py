"""Writes deploy/prometheus from the rules that are built in: `python tools/prometheus_rules.py`.

So that both mean the same: condition, duration, level at which it clears, severity, what to do. A test holds the files
against this description, and promtool tries each rule: it fires, it does not, it clears.
"""
# A catalogue is read by rows.
# ruff: noqa: E501

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from api.alerts.builtin_rules import BUILTIN_RULES
from api.domain.alert_rule import AlertRule, Clause, Comparison
from tools.prometheus_facts import FACTS, SCOPES
from tools.prometheus_tests import render_tests

DIRECTORY = ROOT / "deploy" / "prometheus"

#: How the alerts are called that are not called as their rule.
_NAMES = {
    "gpu_lost": "GPULost", "gpu_unreadable": "GPUUnreadable", "xid_fatal": "GPUFatalXid",
    "xid_application": "GPUApplicationXid", "recovery_action": "GPURecoveryAction", "ecc_uncorrected": "GPUMemoryErrors",
    "repair_pending": "GPURepairPending", "repair_failed": "GPURepairFailed", "near_slowdown": "GPUNearSlowdown",
    "thermal_throttle": "GPUThermalThrottle", "thermal_throttle_soft": "GPUThermalThrottleSoft",
    "power_brake": "GPUPowerBrake", "power_cap": "GPUPowerCap", "fan_stands": "GPUFanStands",
    "pcie_width": "GPUPCIeWidth", "pcie_generation": "GPUPCIeGeneration", "power_limit_changed": "GPUPowerLimitChanged",
    "foreign_memory": "GPUForeignMemory", "foreign_memory_blocks": "GPUForeignMemoryBlocks",
    "foreign_leak": "GPUForeignLeak", "eta_slips": "TrainingETASlips", "loss_nan": "TrainingLossNaN",
    "loss_spike": "TrainingLossSpike", "retry_storm": "TrainingRetryStorm", "no_checkpoint": "TrainingNoCheckpoint",
    "idle_while_leased": "TrainingIdle", "queue_waits": "TrainingWaits", "restarted": "ServiceRestarted",
}  # fmt: skip

#: What a rule's remedy names that only the service knows, in other words.
_WORDS = {
    "{health_action}": "GET /api/v1/gpu/{{ $labels.uuid }}/details says what to do.",
    "{cause_remedy}": "GET /api/v1/training/{{ $labels.task_id }} says why, and what to do.",
    "{power_limit_previous}": "<the former limit>",
    "{key}": "{{ $labels.key_id }}",
    "{channel_id}": "{{ $labels.channel_id }}",
    "{alert_id}": "<its alert_id>",
    "{task_id}": "{{ $labels.task_id }}",
}

_HEAD = """\
# Made by tools/prometheus_rules.py from the rules that are built into the service: change those.
"""
_ABOUT = """\
# Equal in meaning to the rules that are built into the service (GET /api/v1/alerts/rules; label `rule`), for who has an Alertmanager already. ServiceDown
# is the one that the service cannot tell itself. What Prometheus does otherwise: a value that is no longer known ends an alert after 5 min, where the service keeps it.
"""
_ABOUT_OPTIONAL = """\
# Rules that are off in the service by default, or told only to whom a training names: equal in meaning. To use them, name this file in prometheus.yml.
"""


@dataclass(frozen=True, slots=True)
class PrometheusRule:
    """An alerting rule: a built-in one at one severity."""

    rule: AlertRule
    severity: str
    is_graver: bool  #: the one for `critical_when`

    @property
    def name(self) -> str:
        """The alert's name."""
        return _NAMES.get(self.rule.rule_id) or "".join(part.title() for part in self.rule.rule_id.split("_"))

    @property
    def when(self) -> tuple[Clause, ...]:
        """Its clauses, first the one that its clearing is about: its value is the one that is shown."""
        clearing = {clause.metric for clause in self.rule.clear}
        return tuple(sorted(self.rule.when, key=lambda clause: bool(clearing) and clause.metric not in clearing))

    @property
    def expression(self) -> str:
        """The condition; where it has a level to clear at, it holds on for an alert that fires until that."""
        rule = self.rule
        wanted = _join(self.when, rule.any_of)
        if rule.clear:
            firing = f'ALERTS{{alertname="{self.name}", alertstate="firing"}}'
            holds_on = _negated(rule.clear)
            wanted = f"({wanted}) or (({holds_on}) and on ({', '.join(SCOPES[rule.scope].matched)}) {firing})"
        if rule.critical_when:
            graver = _join(rule.critical_when, any_of=False)
            word = "and" if self.is_graver else "unless"
            wanted = f"({wanted}) {word} on ({', '.join(SCOPES[rule.scope].matched)}) ({graver})"
        return wanted

    @property
    def summary(self) -> str:
        """What it tells first: about what, and the value of its first metric."""
        subject = SCOPES[self.rule.scope].subject
        # With `or` nobody knows which of them the value is of.
        shown = None if self.rule.any_of else FACTS[self.when[0].metric].shown
        return f"{subject}: {self.rule.title}" + (f" ({{{{ $value{shown} }}}})" if shown is not None else "")

    @property
    def description(self) -> str:
        """What to do."""
        text = self.rule.remedy
        for word, other in _WORDS.items():
            text = text.replace(word, other)
        return text


def list_rules() -> Iterator[PrometheusRule]:
    """All of them, as the service has them."""
    for rule in BUILTIN_RULES.values():
        yield PrometheusRule(rule, rule.severity.value, is_graver=False)
        if rule.critical_when:
            yield PrometheusRule(rule, "critical", is_graver=True)


def is_optional(rule: AlertRule) -> bool:
    """Whether it is off by default, or for those only who ask to be told."""
    return not rule.enabled or rule.is_opt_in


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


def _duration(seconds: float) -> str:
    return f"{seconds:g}s" if seconds % 60 else f"{seconds / 60:g}m"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def render_rules(optional: bool) -> str:
    """The file of alerting rules: those that are on by default, or the others."""
    lines = [_HEAD + (_ABOUT_OPTIONAL if optional else _ABOUT) + "groups:"]
    lines.append(f"  - name: diffusion-pipe{'-optional' if optional else ''}\n    rules:")
    if not optional:
        lines += _SERVICE_DOWN
    for each in list_rules():
        if is_optional(each.rule) is not optional:
            continue
        lines.append(f"      - alert: {each.name}\n        expr: {_quote(each.expression)}")
        if each.rule.for_seconds:
            lines.append(f"        for: {_duration(each.rule.for_seconds)}")
        if each.rule.clear_seconds:
            lines.append(f"        keep_firing_for: {_duration(each.rule.clear_seconds)}")
        lines.append(f"        labels: {{severity: {each.severity}, rule: {each.rule.rule_id}}}")
        lines.append(f"        annotations:\n          summary: {_quote(each.summary)}")
        lines.append(f"          description: {_quote(each.description)}")
    return "\n".join(lines) + "\n"


_SERVICE_DOWN = [
    "      - alert: ServiceDown",
    '        expr: up{job="diffusion-pipe"} == 0',
    "        for: 1m",
    "        labels: {severity: critical, rule: service_down}",
    "        annotations:",
    "          summary: '{{ $labels.instance }}: does not answer'",
    "          description: 'Look at the service and its log; trainings go on without it.'",
]


def render_recording() -> str:
    """The file of recording rules: what alerts take over minutes, and what people look at over weeks."""
    lines = [_HEAD + "groups:\n  - name: diffusion-pipe-recording\n    rules:"]
    for record, expression in _RECORDED.items():
        lines.append(f"      - record: {record}\n        expr: {_quote(expression)}")
    return "\n".join(lines) + "\n"


def _quantile(name: str, labels: str, quantile: str) -> str:
    return f"histogram_quantile({quantile}, sum by (job, instance, le{labels}) (rate({name}_bucket[5m])))"


_RECORDED: Mapping[str, str] = {
    **{fact.expression: fact.recorded for fact in FACTS.values() if fact.recorded is not None},
    "instance:nvidia_smi_power_draw_watts:sum": "sum by (job, instance) (nvidia_smi_power_draw_watts)",
    "instance:nvidia_smi_utilization_gpu_ratio:avg": "avg by (job, instance) (nvidia_smi_utilization_gpu_ratio)",
    "instance:nvidia_smi_memory_used_bytes:sum": "sum by (job, instance) (nvidia_smi_memory_used_bytes)",
    "instance:diffusion_pipe_gpu_available:sum": "sum by (job, instance) (diffusion_pipe_gpu_available)",
    "instance_route:diffusion_pipe_http_requests:rate5m": "sum by (job, instance, route) (rate(diffusion_pipe_http_requests_total[5m]))",
    "instance_route:diffusion_pipe_http_request_duration_seconds:p99_5m": _quantile("diffusion_pipe_http_request_duration_seconds", ", route", "0.99"),
    "instance:diffusion_pipe_http_request_failures:ratio5m": 'sum by (job, instance) (rate(diffusion_pipe_http_requests_total{status=~"5.."}[5m])) / sum by (job, instance) (rate(diffusion_pipe_http_requests_total[5m]))',
    "instance_mode:diffusion_pipe_database_transaction_duration_seconds:p99_5m": _quantile("diffusion_pipe_database_transaction_duration_seconds", ", mode", "0.99"),
    "instance:diffusion_pipe_queue_wait_seconds:p90_1h": "histogram_quantile(0.9, sum by (job, instance, le) (rate(diffusion_pipe_queue_wait_seconds_bucket[1h])))",
}  # fmt: skip


def render_all() -> dict[str, str]:
    """Every file, by its name."""
    return {
        "recording.yml": render_recording(),
        "alerts.yml": render_rules(optional=False),
        "alerts_optional.yml": render_rules(optional=True),
        "alerts_test.yml": _HEAD
        + render_tests([each for each in list_rules() if not is_optional(each.rule)], "alerts"),
        "alerts_optional_test.yml": _HEAD
        + render_tests([each for each in list_rules() if is_optional(each.rule)], "alerts_optional"),
    }


def main() -> None:
    """Writes them."""
    for name, text in render_all().items():
        (DIRECTORY / name).write_text(text)


if __name__ == "__main__":
    main()
