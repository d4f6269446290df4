from datetime import datetime

from api.alerts.rows import dump_told, read_told, tell
from api.domain.alert import AlertNotification, NotificationKind
from tests.unit.alerts.facts import NOW, firing


def test_what_is_told_survives_its_way_through_json():
    note = AlertNotification("alert_1", 3, NotificationKind.REPEAT, "c1", firing().severity, "g", NOW)
    told = tell(note, firing(resolved_at=NOW))
    assert (told.number, told.kind) == (3, NotificationKind.REPEAT)
    assert read_told(dump_told(told)) == told
    assert isinstance(read_told(dump_told(told)).since, datetime)


def test_characters_that_no_database_takes_are_replaced():
    told = tell(
        AlertNotification("a", 1, NotificationKind.FIRING, "c", firing().severity, "g", NOW),
        firing(title="a\0b", labels={"x": "\ud800"}),
    )
    assert dump_told(told)["title"] == "a\N{REPLACEMENT CHARACTER}b"
    assert dump_told(told)["labels"] == {"x": "?"}
