from api.alerts.rules.measurable import IN_HISTORY, METRICS, metrics_of
from api.domain.alerts.alert_rule import RuleScope
from api.domain.machines.history import Metric


def test_metric_is_unique_in_its_scope_and_every_scope_has_some():
    assert len({(metric.scope, metric.name) for metric in METRICS}) == len(METRICS)
    assert all(metrics_of(scope) for scope in RuleScope)


def test_metrics_with_history_are_those_of_the_history():
    assert set(IN_HISTORY.values()) == {metric.value for metric in Metric}
    assert {metric.name for metric in METRICS if metric.has_history} == IN_HISTORY.keys()
