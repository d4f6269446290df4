"""Facts, rules, alerts and channels for tests."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from api.alerts.evaluation import UNKNOWN, FactTable
from api.alerts.rules.builtin import parse_clause
from api.domain.alerts.alert import Alert, AlertState, AlertTarget
from api.domain.alerts.alert_rule import AlertRule, RuleScope
from api.domain.alerts.channel import Channel, ChannelKind, ChannelSettings
from api.domain.machines.gpu_event import Severity

NOW = datetime(2026, 1, 1, tzinfo=UTC)

HOT = AlertRule(
    "hot",
    "hot",
    RuleScope.GPU,
    (parse_clause("temperature_gpu >= 80"),),
    "{gpu} is at {temperature_gpu}",
    for_seconds=60,
    clear=(parse_clause("temperature_gpu <= 75"),),
    clear_seconds=30,
)


def rule(base: AlertRule = HOT, **changes: Any) -> AlertRule:
    for name in ("when", "clear", "critical_when"):
        if name in changes:
            changes[name] = tuple(parse_clause(text) for text in changes[name])
    return replace(base, **changes)


def gpus(*temperatures: float | None, **columns: list[float]) -> FactTable:
    """Return a table of GPUs with these temperatures; None is unknown."""
    targets = tuple(
        AlertTarget(
            f"n/{index}", {"gpu_uuid": str(index), "node": "n"}, {"name": f"GPU {index}", "gpu": f"GPU {index}"}
        )
        for index in range(len(temperatures))
    )
    known = [UNKNOWN if value is None else float(value) for value in temperatures]
    return FactTable(RuleScope.GPU, targets, {"temperature_gpu": known, **columns})


def firing(**changes: Any) -> Alert:
    usual = Alert(
        alert_id="alert_1",
        fingerprint="f1",
        rule_id="hot",
        scope=RuleScope.GPU,
        target="n/0",
        labels={"gpu_uuid": "0", "node": "n"},
        severity=Severity.WARNING,
        state=AlertState.FIRING,
        number=1,
        title="hot: GPU 0",
        summary="GPU 0 is at 90",
        remedy="",
        link=None,
        since=NOW,
        updated_at=NOW,
        fired_at=NOW,
        value=90.0,
        peak=90.0,
    )
    return replace(usual, **changes)


_numbers = itertools.count(1)


def new_id(now: datetime) -> str:
    return f"alert_{next(_numbers)}"


def channel(channel_id: str = "c1", enabled: bool = True, **settings: Any) -> Channel:
    return Channel(
        channel_id=channel_id,
        name=f"name-{channel_id}",
        kind=ChannelKind.WEBHOOK,
        shown="https://…",
        mark="m",
        settings=ChannelSettings(**settings),
        enabled=enabled,
        created_at=NOW,
        created_by="root",
        updated_at=NOW,
    )
