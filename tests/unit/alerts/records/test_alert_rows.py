from datetime import datetime

from api.alerts.records.rows import dump_snapshot, read_snapshot, take_snapshot
from api.domain.alerts.alert import AlertNotification, NotificationKind
from tests.unit.alerts.fact_builders import NOW, firing


def test_notified_alert_survives_json():
    note = AlertNotification("alert_1", 3, NotificationKind.REPEAT, "c1", firing().severity, "g", NOW)
    snapshot = take_snapshot(note, firing(resolved_at=NOW))
    assert (snapshot.number, snapshot.kind) == (3, NotificationKind.REPEAT)
    assert read_snapshot(dump_snapshot(snapshot)) == snapshot
    assert isinstance(read_snapshot(dump_snapshot(snapshot)).since, datetime)


def test_characters_rejected_by_databases_are_replaced():
    snapshot = take_snapshot(
        AlertNotification("a", 1, NotificationKind.FIRING, "c", firing().severity, "g", NOW),
        firing(title="a\0b", labels={"x": "\ud800"}),
    )
    assert dump_snapshot(snapshot)["title"] == "a\N{REPLACEMENT CHARACTER}b"
    assert dump_snapshot(snapshot)["labels"] == {"x": "?"}
