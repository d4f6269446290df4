from datetime import datetime

from api.alerts.rows import dump_snapshot, read_snapshot, tell
from api.domain.alert import AlertNotification, NotificationKind
from tests.unit.alerts.facts import NOW, firing


def test_notified_alert_survives_json():
    note = AlertNotification("alert_1", 3, NotificationKind.REPEAT, "c1", firing().severity, "g", NOW)
    told = tell(note, firing(resolved_at=NOW))
    assert (told.number, told.kind) == (3, NotificationKind.REPEAT)
    assert read_snapshot(dump_snapshot(told)) == told
    assert isinstance(read_snapshot(dump_snapshot(told)).since, datetime)


def test_characters_rejected_by_databases_are_replaced():
    told = tell(
        AlertNotification("a", 1, NotificationKind.FIRING, "c", firing().severity, "g", NOW),
        firing(title="a\0b", labels={"x": "\ud800"}),
    )
    assert dump_snapshot(told)["title"] == "a\N{REPLACEMENT CHARACTER}b"
    assert dump_snapshot(told)["labels"] == {"x": "?"}
