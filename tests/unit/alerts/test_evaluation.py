import math

import pytest

from api.alerts.evaluation import (
    UNKNOWN,
    FactTable,
    all_hold,
    describe_end,
    fill,
    find_breaching,
    holds,
    is_breaching,
    is_clear,
    show_number,
)
from api.alerts.rules.builtin import BUILTIN_RULES, parse_clause
from api.domain.alerts.alert import AlertTarget
from api.domain.alerts.alert_rule import Comparison, RuleScope
from tests.unit.alerts.fact_builders import gpus, rule


@pytest.mark.parametrize("compare", Comparison)
def test_column_search_agrees_with_single_evaluation(compare: Comparison):
    values = [79.0, 80.0, 81.0, None, 80.0]
    table = gpus(*values)
    clause = parse_clause(f"temperature_gpu {compare} 80")
    slow = [index for index in range(len(values)) if holds(clause, table, index)]
    assert list(find_breaching(rule(when=[clause.text]), table)) == slow
    assert holds(clause, table, 3) is None


@pytest.mark.parametrize("compare", Comparison)
def test_metric_is_compared_with_another_one(compare: Comparison):
    table = gpus(85, 84, 90, None, 90, temperature_slowdown=[90.0, 90.0, 95.0, 90.0, UNKNOWN])
    clause = parse_clause(f"temperature_gpu {compare} temperature_slowdown - 5")
    slow = [index for index in range(5) if holds(clause, table, index)]
    assert list(find_breaching(rule(when=[clause.text]), table)) == slow
    assert [holds(clause, table, index) for index in (3, 4)] == [None, None]


def test_all_clauses_must_hold_unless_any_suffices():
    table = gpus(90, 90, 10, power_usage=[400.0, 10.0, 400.0])
    both = rule(when=["temperature_gpu > 80", "power_usage > 300"])
    assert list(find_breaching(both, table)) == [0]
    assert list(find_breaching(rule(both, any_of=True), table)) == [0, 1, 2]


def test_unknown_value_is_neither_breach_nor_clear():
    table = gpus(None, 90, 70)
    hot = rule()
    assert [is_breaching(hot, table, index) for index in range(3)] == [None, True, False]
    assert [is_clear(hot, table, index) for index in range(3)] == [None, False, True]


def test_one_known_clause_can_decide():
    table = gpus(None, power_usage=[400.0])
    both = rule(when=["temperature_gpu > 80", "power_usage < 300"])
    assert is_breaching(both, table, 0) is False
    assert is_breaching(rule(both, any_of=True, when=["temperature_gpu > 80", "power_usage > 300"]), table, 0) is True
    assert is_breaching(rule(both, any_of=True), table, 0) is None


def test_metric_without_a_column_is_unknown():
    table = gpus(90)
    nothing = rule(when=["fan_speed == 0"])
    assert (list(find_breaching(nothing, table)), is_breaching(nothing, table, 0)) == ([], None)
    assert all_hold((), table, 0) is True


def test_without_a_clear_level_the_condition_must_be_false():
    plain = rule(clear=[])
    assert [is_clear(plain, gpus(value), 0) for value in (90, 70, None)] == [False, True, None]


def test_metric_with_a_unit_is_shown_as_a_duration():
    columns = {"x": [7500.0], "y": [UNKNOWN], "z": [math.inf]}
    table = FactTable(RuleScope.GPU, (AlertTarget("t"),), columns)
    assert fill("{x:seconds}, {x:hours}, {x}", table, 0) == "2 hours 5 minutes, 312 days 12 hours, 7,500"
    assert fill("{y:seconds} {z:days} {x:weeks}", table, 0) == "unknown never {x:weeks}"


@pytest.mark.parametrize(("running", "text"), [(1.0, "wan makes progress again"), (0.0, "wan is no longer running")])
def test_end_of_a_task_is_not_described_as_a_recovery(running: float, text: str):
    table = FactTable(RuleScope.TASK, (AlertTarget("t", {}, {"task": "wan"}),), {"running": [running]})
    assert describe_end(BUILTIN_RULES["training_hung"], table, 0) == text


def test_text_is_filled_without_evaluating_it():
    table = FactTable(RuleScope.GPU, (AlertTarget("t", {"node": "n"}, {"name": "it"}),), {"x": [1.5], "y": [UNKNOWN]})
    assert fill("{name} on {node}: {x} {y} {z} {name.__class__} {0}", table, 0) == (
        "it on n: 1.5 unknown unknown {name.__class__} unknown"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [(math.nan, "unknown"), (math.inf, "never"), (92.0, "92"), (0.12345, "0.123"), (12345.6, "12,346")],
)
def test_numbers_have_their_significant_digits(value: float, shown: str):
    assert show_number(value) == shown
