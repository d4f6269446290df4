import re

import pytest

from api.alerts.rules.builtin import BUILTIN_RULES, parse_clause
from api.alerts.rules.measurable import metrics_of
from api.domain.alerts.alert_rule import AlertRule, Clause, Comparison


@pytest.mark.parametrize("rule", BUILTIN_RULES.values(), ids=list(BUILTIN_RULES))
def test_every_rule_uses_metrics_of_its_scope_and_has_a_remedy(rule: AlertRule):
    assert set(rule.metrics) <= metrics_of(rule.scope).keys()
    assert rule.summary
    assert rule.remedy
    assert re.fullmatch(r"[a-z_]{1,64}", rule.rule_id)
    assert rule.is_builtin


@pytest.mark.parametrize("rule", BUILTIN_RULES.values(), ids=list(BUILTIN_RULES))
def test_clear_level_and_condition_exclude_each_other(rule: AlertRule):
    """Else it would fire and end in every round; so also with another threshold."""
    threshold = rule.threshold
    moved = [] if threshold is None else [rule.changed({"value": threshold.value * factor}) for factor in (0.5, 2, 3)]
    for each in (rule, *moved):
        check_clear_levels(each)


def check_clear_levels(rule: AlertRule) -> None:
    for raised in rule.when:
        for cleared in rule.clear:
            if raised.metric == cleared.metric and raised.of == cleared.of:
                above = raised.compare.value.startswith(">")
                assert cleared.value <= raised.value if above else cleared.value >= raised.value


def test_rules_that_are_off_by_default():
    assert {rule_id for rule_id, rule in BUILTIN_RULES.items() if not rule.enabled} == {
        "thermal_throttle_soft",
        "power_cap",
        "pcie_generation",
        "foreign_leak",
        "loss_spike",
        "machine_idle",
    }


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("a >= 5", Clause("a", Comparison.AT_LEAST, 5)),
        ("a != -0.5", Clause("a", Comparison.OTHER, -0.5)),
        ("a < b", Clause("a", Comparison.BELOW, 0, "b")),
        ("a <= b - 5", Clause("a", Comparison.AT_MOST, -5, "b")),
        ("a == b + 1.5", Clause("a", Comparison.EQUAL, 1.5, "b")),
    ],
)
def test_clause_is_parsed_and_formatted(text: str, clause: Clause):
    assert parse_clause(text) == clause
    assert parse_clause(clause.text) == clause


@pytest.mark.parametrize("text", ["", "a", "a > ", "> 5", "a => 5", "a > b * 2", "a > 5 or 1", "__import__('os') > 1"])
def test_invalid_clause_is_rejected(text: str):
    with pytest.raises(ValueError, match="is no clause"):
        parse_clause(text)
