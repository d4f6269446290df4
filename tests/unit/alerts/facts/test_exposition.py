import re

from prometheus_client import CollectorRegistry, generate_latest

from api.alerts.evaluation import UNKNOWN, FactTable
from api.alerts.facts.exposition import MOST_SERIES, SERIES, AlertExposition
from api.alerts.rules.measurable import metrics_of
from api.domain.alerts.alert import Alert, AlertTarget
from api.domain.alerts.alert_rule import RuleScope
from api.domain.machines.gpu_event import Severity
from tests.unit.alerts.fact_builders import firing

#: Facts that /metrics exports in another form: as series of GPUs, or by the values from which they are computed.
ELSEWHERE = {
    "gpu": {
        *("lost", "reading_age", "available", "health", "utilization_gpu", "utilization_memory", "memory_used"),
        *("memory_used_percent", "temperature_gpu", "temperature_memory", "power_usage", "power_limit", "fan_speed"),
        *("power_limit_default", "clock_sm", "pcie_width", "pcie_generation", "ecc_uncorrected", "repair_pending"),
        *("repair_failed", "recovery_action", "hw_thermal_percent", "sw_thermal_percent", "power_brake_percent"),
        *("power_cap_percent", "queue_waiting"),
    },
    "service": {"source_failing"},
    "task": {"eta_slip"},
}


def tasks(count: int = 1, **columns: list[float]) -> FactTable:
    targets = tuple(
        AlertTarget(f"t{index}", {"task_id": f"t{index}", "model_type": "toy", "owner": "ann"}, {"name": "secret name"})
        for index in range(count)
    )
    return FactTable(RuleScope.TASK, targets, columns)


def shown(*tables: FactTable, alerts: tuple[Alert, ...] = ()) -> str:
    by_scope = {table.scope: table for table in tables}
    registry = CollectorRegistry()
    registry.register(AlertExposition(by_scope.get, lambda: alerts))
    return generate_latest(registry).decode()


def test_every_fact_is_exported_or_covered_otherwise():
    for scope in RuleScope:
        exported = {series.fact for series in SERIES if series.scope is scope}
        assert exported | ELSEWHERE.get(scope, set()) == set(metrics_of(scope))
        assert exported.isdisjoint(ELSEWHERE.get(scope, ()))


def test_names_follow_prometheus_conventions():
    for series in SERIES:
        assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", series.name)
        assert not re.search(r"_(total|percent|mb|gb|hours|days|ms)$", series.name)
        assert series.help.endswith(".")


def test_values_are_in_base_units():
    text = shown(tasks(running=[1.0], progress=[25.0], loss=[0.5]))
    assert 'diffusion_pipe_task_progress_ratio{model_type="toy",task_id="t0"} 0.25' in text
    assert 'diffusion_pipe_task_loss{model_type="toy",task_id="t0"} 0.5' in text
    assert "secret name" not in text


def test_unknown_value_is_left_out_and_never_is_infinite():
    text = shown(tasks(2, running=[1.0, 1.0], loss=[UNKNOWN, 0.1], eta=[UNKNOWN, UNKNOWN]))
    assert 'task_loss{model_type="toy",task_id="t0"}' not in text
    assert "diffusion_pipe_task_eta_seconds" not in text
    disks = (AlertTarget("n:/", {"disk": "/", "node": "n"}, {}),)
    table = FactTable(RuleScope.DISK, disks, {"hours_to_full_1h": [float("inf")], "hours_to_full_6h": [2.0]})
    text = shown(table)
    assert 'diffusion_pipe_disk_full_in_seconds{disk="/",node="n",window="1h"} +Inf' in text
    assert 'diffusion_pipe_disk_full_in_seconds{disk="/",node="n",window="6h"} 7200.0' in text


def test_facts_of_a_running_task_are_not_exported_after_its_end():
    text = shown(tasks(2, running=[0.0, 1.0], failed=[1.0, 0.0], hung_seconds=[0.0, 0.0], queued_seconds=[0.0, 0.0]))
    assert text.count("diffusion_pipe_task_hung_seconds{") == 1
    assert 'diffusion_pipe_task_failed{model_type="toy",task_id="t0"} 1.0' in text
    assert text.count("diffusion_pipe_task_failed{") == 1
    assert "diffusion_pipe_task_queued_seconds" not in text


def test_number_of_series_per_name_is_limited():
    many = MOST_SERIES + 50
    assert shown(tasks(many, running=[1.0] * many)).count("diffusion_pipe_task_running{") == MOST_SERIES


def test_open_alerts_are_counted_by_rule_severity_and_state():
    alerts = (
        firing(),
        firing(),
        firing(severity=Severity.CRITICAL),
        firing(muted_by="silence_1"),
        firing(acknowledged_by="ann"),
    )
    text = shown(alerts=alerts)
    assert 'diffusion_pipe_alerts{rule="hot",severity="warning",state="firing"} 2.0' in text
    assert 'diffusion_pipe_alerts{rule="hot",severity="critical",state="firing"} 1.0' in text
    assert 'diffusion_pipe_alerts{rule="hot",severity="warning",state="silenced"} 1.0' in text
    assert 'diffusion_pipe_alerts{rule="hot",severity="warning",state="acknowledged"} 1.0' in text
