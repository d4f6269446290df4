from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from api.alerts.records.alert_store import BATCH, AlertsChanged, AlertStore
from api.db.alert_tables import alert_notifications
from api.db.database import Database
from api.domain.alerts.alert import (
    Alert,
    AlertChange,
    AlertCounts,
    AlertFilter,
    AlertNotification,
    AlertState,
    NotificationKind,
    ShownState,
)
from api.domain.alerts.alert_rule import RuleScope
from api.domain.machines.gpu_event import Severity
from api.errors import AlertNotFound, Conflict
from api.util.http.pagination import PageRequest
from tests.unit.alerts.fact_builders import firing
from tests.unit.db.builders import NOW, later


@pytest.fixture
def store(database: Database) -> AlertStore:
    return AlertStore(database)


def opened(**changes: object) -> AlertChange:
    return AlertChange(None, firing(**changes), "fires")


def note(alert: Alert, channel: str = "c1", kind: NotificationKind = NotificationKind.FIRING) -> AlertNotification:
    return AlertNotification(alert.alert_id, alert.number, kind, channel, alert.severity, "g", NOW)


def moved(before: Alert, **changes: object) -> AlertChange:
    return AlertChange(before, replace(before, number=before.number + 1, **changes), "moved")  # type: ignore[arg-type]


def test_alert_is_read_as_it_was_stored(store: AlertStore):
    whole = firing(
        labels={"a": "b\0c"},
        notified=("c1",),
        flips=(1.0, 2.0),
        notified_at=NOW,
        acknowledged_by="ann",
        acknowledged_at=NOW,
    )
    store.apply([AlertChange(None, whole, "fires")], NOW)
    assert store.get("alert_1") == replace(whole, labels={"a": "b\N{REPLACEMENT CHARACTER}c"})
    assert [row.message for row in store.history("alert_1")] == ["fires"]


def test_change_and_its_notifications_are_one_transaction(store: AlertStore, database: Database):
    alert = firing()
    store.apply([opened()], NOW)
    change = replace(moved(alert, severity=Severity.CRITICAL), notifications=(note(replace(alert, number=2)),))
    stale = moved(firing(alert_id="alert_1", number=7))
    with pytest.raises(AlertsChanged):
        store.apply([change, stale], NOW)
    assert store.get("alert_1") == alert
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(alert_notifications)) == 0
    store.apply([change], NOW)
    with database.read() as connection:
        row = connection.execute(select(alert_notifications)).one()
    assert (row.number, row.told["severity"], row.delivery_id) == (2, "critical", None)


def test_one_alert_per_fingerprint_is_open(store: AlertStore):
    store.apply([opened()], NOW)
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        store.apply([opened(alert_id="alert_2")], NOW)
    store.apply([moved(firing(), state=AlertState.RESOLVED, resolved_at=NOW)], NOW)
    store.apply([opened(alert_id="alert_2")], NOW)
    assert {alert.alert_id for alert in store.load(NOW)} == {"alert_1", "alert_2"}


def test_one_alert_can_end_and_another_start_in_one_transaction(store: AlertStore):
    pending = firing(state=AlertState.PENDING, fired_at=None)
    store.apply([AlertChange(None, pending)], NOW)
    forgotten = AlertChange(pending, replace(pending, number=2, state=AlertState.RESOLVED))
    store.apply([forgotten, opened(alert_id="alert_2")], NOW)
    with pytest.raises(AlertNotFound):
        store.get("alert_1")
    assert [alert.alert_id for alert in store.load(NOW)] == ["alert_2"]


def test_long_ended_alerts_are_not_loaded(store: AlertStore):
    ended = firing(state=AlertState.RESOLVED, resolved_at=later(-100))
    store.apply([AlertChange(None, ended, "x")], NOW)
    assert store.load(later(-99)) == []
    assert store.load(later(-101)) == [ended]


def test_many_changes_are_stored_in_batches(store: AlertStore):
    many = [opened(alert_id=f"alert_{n}", fingerprint=f"f{n}") for n in range(BATCH + 3)]
    store.apply(many, NOW)
    assert len(store.load(NOW)) == BATCH + 3
    after = [moved(each.after, value=float(n)) for n, each in enumerate(many)]
    store.apply(after, NOW)
    assert store.get(f"alert_{BATCH + 2}").value == BATCH + 2


def test_lists_are_filtered_counted_and_paged(store: AlertStore):
    alerts = [
        firing(alert_id="a1", fingerprint="1", severity=Severity.CRITICAL),
        firing(alert_id="a2", fingerprint="2", acknowledged_by="ann"),
        firing(alert_id="a3", fingerprint="3", muted_by="silence_1"),
        firing(alert_id="a4", fingerprint="4", state=AlertState.PENDING, fired_at=None, rule_id="other"),
        firing(alert_id="a5", fingerprint="5", state=AlertState.RESOLVED, resolved_at=NOW),
        firing(alert_id="a6", fingerprint="6", scope=RuleScope.TASK, owner="ann", labels={"task_id": "t1"}),
    ]
    store.apply([AlertChange(None, alert, "x") for alert in alerts], NOW)

    def ids(**wanted: object) -> list[str]:
        return [alert.alert_id for alert in store.page(AlertFilter(**wanted), PageRequest(50)).rows]  # type: ignore[arg-type]

    assert ids() == ["a6", "a5", "a4", "a3", "a2", "a1"]
    assert ids(states=(ShownState.SILENCED,)) == ["a3"]
    assert ids(states=(ShownState.ACKNOWLEDGED,)) == ["a2"]
    assert ids(severity=Severity.CRITICAL) == ["a1"]
    assert ids(rule_id="other") == ["a4"]
    assert ids(task_id="t1") == ["a6"]
    assert ids(seen_by="bob") == ["a5", "a4", "a3", "a2", "a1"]
    assert ids(is_open=False) == ["a5"]
    assert ids(is_open=True, severity=Severity.CRITICAL) == ["a1"]
    assert store.count() == AlertCounts(firing=2, pending=1, acknowledged=1, silenced=1, critical=1)
    assert store.count("bob").firing == 1
    page = store.page(AlertFilter(), PageRequest(2))
    following = store.page(AlertFilter(), PageRequest(2, cursor=page.pagination.next_cursor))
    assert (following.pagination.total, [alert.alert_id for alert in following.rows]) == (6, ["a4", "a3"])


def test_alerts_are_found_by_gpu_and_by_time(store: AlertStore):
    ended = {"state": AlertState.RESOLVED, "resolved_at": later(10)}
    alerts = [
        firing(alert_id="a1", fingerprint="1", target="node/GPU-1", **ended),
        firing(alert_id="a2", fingerprint="2", target="node/GPU-11"),
        firing(alert_id="a3", fingerprint="3", target="node/GPU-1", scope=RuleScope.DISK),
        firing(alert_id="a4", fingerprint="4", target="node/GPU_1", since=later(20)),
    ]
    store.apply([AlertChange(None, alert, "x") for alert in alerts], NOW)

    def ids(**wanted: object) -> list[str]:
        return [alert.alert_id for alert in store.page(AlertFilter(**wanted), PageRequest(50)).rows]  # type: ignore[arg-type]

    assert ids(gpu_uuid="GPU-1") == ["a1"]
    assert ids(gpu_uuid="GPU_1") == ["a4"]
    assert ids(since=later(10), until=later(15)) == ["a3", "a2", "a1"]
    assert ids(since=later(11), until=later(20)) == ["a4", "a3", "a2"]


def test_acknowledgement_increases_number_and_version(store: AlertStore):
    store.apply([opened()], NOW)
    before = store.version()
    after = store.acknowledge("alert_1", "ann", later(60), "seen", later(1))
    assert (after.number, after.shown_state, after.acknowledged_until) == (2, ShownState.ACKNOWLEDGED, later(60))
    assert store.version() > before
    with pytest.raises(AlertsChanged):
        store.apply([moved(firing())], NOW)
    assert store.acknowledge("alert_1", None, None, "", later(2)).acknowledged_by is None
    assert [row.actor for row in store.history("alert_1")] == ["service", "ann", "api"]


def test_only_firing_alerts_can_be_acknowledged(store: AlertStore):
    store.apply([opened(state=AlertState.PENDING, fired_at=None)], NOW)
    with pytest.raises(Conflict):
        store.acknowledge("alert_1", "ann", None, "", NOW)
    with pytest.raises(AlertNotFound):
        store.acknowledge("alert_9", "ann", None, "", NOW)


def test_history_is_read_on_by_ids(store: AlertStore):
    assert store.latest_id() == 0
    store.apply([opened()], NOW)
    store.apply([moved(firing())], NOW)
    first, second = store.ids_above(0, 10)
    assert store.latest_id() == second
    ((row, alert),) = store.changes([second])
    assert (row.message, alert.number, store.ids_above(first, 10)) == ("moved", 2, [second])


def test_old_alerts_are_deleted_with_their_notifications(store: AlertStore, database: Database):
    old = firing(state=AlertState.RESOLVED, resolved_at=later(-100))
    store.apply([AlertChange(None, old, "x", notifications=(note(old),)), opened(alert_id="a2", fingerprint="2")], NOW)
    assert store.forget(NOW - timedelta(seconds=50)) == 1
    assert [alert.alert_id for alert in store.load(later(-1000))] == ["a2"]
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(alert_notifications)) == 0
