from dataclasses import replace
from datetime import timedelta

from api.models.alert import Alert, AlertNotification, AlertState, NotificationKind
from api.models.channel import ClaimedDelivery, Delivery, DeliveryKind, DeliveryState, ToldAlert
from api.models.event import Severity
from api.notifiers.notifier import OutboundMessage
from api.services.alerts.messages import compose
from api.storage.alert_rows import tell
from tests.unit.services.alerts.facts import NOW, channel, firing


def told(
    kind: NotificationKind = NotificationKind.FIRING, alert: Alert | None = None, number: int = 1, **changes: object
) -> ToldAlert:
    alert = alert or firing(remedy="Check the fan.", labels={"owner": "ann"}, **changes)
    return tell(AlertNotification(alert.alert_id, number, kind, "c1", alert.severity, "g", NOW), alert)


def message(*alerts: ToldAlert, count: int | None = None, kind: DeliveryKind = DeliveryKind.ALERTS) -> OutboundMessage:
    delivery = Delivery(
        "d1", "c1", kind, DeliveryState.SENDING, Severity.WARNING, "g", count or len(alerts), 1, NOW, NOW
    )
    return compose(ClaimedDelivery(delivery, "t", channel(), b"", alerts), NOW + timedelta(seconds=90))


def test_the_first_words_carry_all_and_the_rest_says_what_to_do():
    sent = message(told())
    assert sent.title == "[W] hot: GPU 0"
    for words in ("GPU 0 is at 90", "1m 30s", "What to do: Check the fan.", "It belongs to ann.", "(alert_1)"):
        assert words in sent.body


def test_an_end_says_how_long_it_took_and_how_bad_it_was():
    over = told(NotificationKind.RESOLVED, state=AlertState.RESOLVED, resolved_at=NOW + timedelta(seconds=60))
    sent = message(over)
    assert (sent.title, sent.is_resolved) == ("[OK] hot: GPU 0", True)
    assert "1m 00s, at worst 90" in sent.body
    assert "What to do" not in sent.body


def test_one_alert_is_one_line_by_its_latest_word():
    over = told(NotificationKind.RESOLVED, number=2, state=AlertState.RESOLVED, resolved_at=NOW)
    sent = message(told(), over)
    assert (sent.total, len(sent.alerts), sent.is_resolved) == (1, 1, True)
    assert message(over, told()).is_resolved


def test_of_many_the_gravest_comes_first_and_the_rest_is_counted():
    many = [told(alert_id=f"a{number}", title=f"t{number}") for number in range(30)]
    grave = told(alert_id="grave", title="grave", severity=Severity.CRITICAL)
    sent = message(*many, grave, count=500)
    assert sent.title == "[C] grave, and 499 more"
    assert sent.body.startswith("[critical] grave")
    assert "480 more" in sent.body
    assert (sent.total, sent.is_resolved) == (500, False)


def test_repeats_and_the_like_say_what_they_are():
    said = {
        NotificationKind.REPEAT: "still fires",
        NotificationKind.ESCALATION: "Nobody has acknowledged it",
        NotificationKind.FLAPPING: "comes and goes",
        NotificationKind.CALM: "has stopped coming and going",
    }
    for kind, words in said.items():
        assert words in message(told(kind)).body


def test_a_try_says_that_nothing_is_wrong():
    tried = replace(told(NotificationKind.TEST), title="Test: it works", summary="Nothing is wrong.")
    sent = message(tried, kind=DeliveryKind.TEST)
    assert (sent.title, sent.is_test, sent.is_resolved) == ("Test: it works", True, False)
    assert "Since" not in sent.body
